/**
 * What tracing costs: every workload under every condition, in turn, round by round, so that a drift
 * of the machine hits all alike. `QUICK=1` only shows that all works. Writes
 * bench/results/overhead.json.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { REPOSITORY, run } from '../../test/support/run.ts';
import { describeMachine } from '../machine.ts';
import { withBpfStatistics } from './bpf-time.ts';
import { Cgroup } from './cgroup.ts';
import { Cmdb } from './cmdb.ts';
import { type Bench, type Measurement, measure } from './measure.ts';
import { OURS } from './ours.ts';
import { type Round, type Row, rowOf } from './rows.ts';
import { toolConditions } from './tools.ts';
import type { Condition } from './tracer.ts';
import { type Workload, workloads } from './workloads.ts';

/** A round in which others took more of a core than this is repeated, so often at most. */
const FOREIGN_LIMIT_PCT = 10;
const REPEATS = 2;

const isQuick = (process.env['QUICK'] ?? '') !== '';

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function usable(conditions: readonly Condition[]): Promise<Map<string, Condition>> {
  const found = new Map<string, Condition>();
  for (const condition of conditions) {
    const lacking = [];
    for (const command of condition.needs) {
      const { code } = await run('sh', ['-c', 'command -v "$0"', command]);
      if (code !== 0) lacking.push(command);
    }
    if (lacking.length === 0) found.set(condition.name, condition);
    else say(`${condition.name}: left out, lacks ${lacking.join(', ')}`);
  }
  return found;
}

async function measureQuietly(
  bench: Bench,
  workload: Workload,
  condition: Condition | undefined,
): Promise<Measurement> {
  for (let repeats = 0; ; repeats++) {
    const measured = await measure(bench, workload, condition);
    if (measured.foreignCpuPct <= FOREIGN_LIMIT_PCT || repeats === REPEATS) return measured;
  }
}

/** One round: none, every condition, and none again. */
async function runRound(
  bench: Bench,
  workload: Workload,
  conditions: readonly Condition[],
): Promise<Map<string, Round>> {
  const round = new Map<string, Round>();
  const none = workload.alone ? undefined : await measureQuietly(bench, workload, undefined);
  for (const condition of conditions) {
    const measured = await measureQuietly(bench, workload, condition);
    round.set(condition.name, { measured, none });
  }
  if (none) {
    round.set('none', { measured: await measureQuietly(bench, workload, undefined), none });
  }
  return round;
}

async function runWorkload(
  bench: Bench,
  workload: Workload,
  known: ReadonlyMap<string, Condition>,
): Promise<Row[]> {
  const names = [...workload.conditions, ...(known.has('authors') ? ['authors'] : [])];
  const conditions = names.flatMap((name) => known.get(name) ?? []);
  const rounds = new Map<string, Round[]>();
  const add = (round: ReadonlyMap<string, Round>) => {
    for (const [name, one] of round) rounds.set(name, [...(rounds.get(name) ?? []), one]);
  };
  for (let done = 0; done < workload.rounds; done++) {
    add(await runRound(bench, workload, conditions));
  }
  const rows = [...rounds].map(([name, all]) => rowOf(workload.name, name, all));
  const stream = known.get('stream');
  if (workload.conditions.includes('stream') && stream) {
    const measured = await withBpfStatistics(() => measure(bench, workload, stream));
    const { bpfNsPerConnection, bpfPct } = rowOf(workload.name, 'stream', [
      { measured, none: undefined },
    ]);
    return rows.map((row) =>
      row.condition === 'stream'
        ? {
            ...row,
            ...(bpfNsPerConnection ? { bpfNsPerConnection } : {}),
            ...(bpfPct ? { bpfPct } : {}),
          }
        : row,
    );
  }
  return rows;
}

async function main(): Promise<void> {
  const startedMs = performance.now();
  const known = await usable([...OURS, ...toolConditions(process.env['BENCH_AUTHORS'])]);
  const bench = {
    cmdb: await Cmdb.start(),
    group: new Cgroup('tracer'),
    helperGroup: new Cgroup('helper'),
  };
  const rows: Row[] = [];
  const only = process.env['BENCH_ONLY']?.split(',');
  try {
    for (const workload of workloads(isQuick)) {
      if (only && !only.includes(workload.name)) continue;
      const seconds = Math.round((performance.now() - startedMs) / 1000);
      say(`${String(seconds).padStart(5)} s  ${workload.name}`);
      rows.push(...(await runWorkload(bench, workload, known)));
    }
  } catch (error) {
    say(`failed: ${error instanceof Error ? error.stack : String(error)}`);
    throw error;
  } finally {
    await bench.cmdb.stop();
    await bench.group.remove();
    await bench.helperGroup.remove();
  }
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  const results = join(REPOSITORY, 'bench', 'results');
  await mkdir(results, { recursive: true });
  const machine = await describeMachine();
  const text = JSON.stringify({ machine, quick: isQuick, seconds, rows }, undefined, 1);
  await writeFile(join(results, 'overhead.json'), `${text}\n`);
  say(`${String(seconds).padStart(5)} s  done: bench/results/overhead.json`);
}

await main();
