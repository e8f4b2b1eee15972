/**
 * What tracing costs: every workload under every condition, in turn, round by round. `QUICK=1` only
 * shows that all works; `BENCH_ONLY` names the workloads to run. Writes bench/results/overhead.json
 * after each workload.
 */
import { tmpdir } from 'node:os';
import { run } from '../../test/support/run.ts';
import { BenchRun, secondsOf, type Task } from './bench-run.ts';
import { stopBpfStatistics } from './bpf-time.ts';
import { Cgroup } from './cgroup.ts';
import { Cmdb } from './cmdb.ts';
import { ownDirectory, removeOf, removeStale, restore, settings } from './leftovers.ts';
import type { Bench } from './measure.ts';
import { OURS } from './ours.ts';
import { BUDGET_SECONDS, CMDB_SECONDS } from './plan.ts';
import { mergeResults, RESULTS_FILE, writeResults } from './results.ts';
import type { Row } from './rows.ts';
import { toolConditions } from './tools.ts';
import type { Condition } from './tracer.ts';
import { workloads } from './workloads.ts';

const isQuick = (process.env['QUICK'] ?? '') !== '';
/** Only some workloads: their rows take the place of those in the results that there are. */
const isPart = process.env['BENCH_ONLY'] !== undefined;
/** Exit codes of a shell for a program that a signal ended. */
const SIGNALLED = { SIGINT: 130, SIGTERM: 143 } as const;

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

async function tasks(): Promise<Task[]> {
  const known = await usable([...OURS, ...toolConditions(process.env['BENCH_AUTHORS'])]);
  const only = process.env['BENCH_ONLY']?.split(',');
  return workloads(isQuick)
    .filter(({ name }) => !only || only.includes(name))
    .map((workload) => {
      const names = [...workload.conditions, ...(known.has('authors') ? ['authors'] : [])];
      return { workload, conditions: names.flatMap((name) => known.get(name) ?? []) };
    });
}

async function measureAll(bench: Bench, all: readonly Task[], budget: number): Promise<void> {
  const benchRun = new BenchRun(bench, budget, say);
  const rows: Row[] = [];
  const missing = all.map(({ workload }) => workload.name);
  for (const [index, task] of all.entries()) {
    const at = String(benchRun.seconds).padStart(5);
    say(`${at} s  ${task.workload.name}, planned ${Math.round(secondsOf(task))} s`);
    const found = await benchRun.measure(task, all.slice(index + 1));
    rows.push(...found);
    if (found.length > 0) missing.splice(missing.indexOf(task.workload.name), 1);
    if (!isPart || isQuick || !(await mergeResults(found))) {
      await writeResults(rows, missing, { quick: isQuick, seconds: benchRun.seconds });
    }
  }
  say(`${String(benchRun.seconds).padStart(5)} s  done: ${RESULTS_FILE}`);
}

/** A run that a signal ends takes with it what it has started and made. */
function cleanUpOnSignal(cleanUp: () => Promise<void>): { readonly stopping: boolean } {
  const state = { stopping: false };
  for (const [signal, code] of Object.entries(SIGNALLED)) {
    process.once(signal, () => {
      state.stopping = true;
      say(`${signal}: stops; ${RESULTS_FILE} has the workloads that were done`);
      // Whoever waits for what is ended now fails.
      process.on('unhandledRejection', () => undefined);
      cleanUp()
        .catch((error: unknown) => say(String(error)))
        .finally(() => process.exit(code));
    });
  }
  return state;
}

async function main(): Promise<void> {
  const root = tmpdir();
  await removeStale(root);
  const saved = settings();
  stopBpfStatistics();
  process.env['TMPDIR'] = await ownDirectory(root);
  const cleanUp = async () => {
    restore(saved);
    await removeOf(process.pid, root);
  };
  const signals = cleanUpOnSignal(cleanUp);
  try {
    await runAll();
  } catch (error) {
    if (!signals.stopping) say(`failed: ${error instanceof Error ? error.stack : String(error)}`);
    process.exitCode = 1;
  }
  if (!signals.stopping) await cleanUp();
}

async function runAll(): Promise<void> {
  const all = await tasks();
  const budget = isQuick ? BUDGET_SECONDS.quick : BUDGET_SECONDS.full;
  const planned = all.reduce((sum, task) => sum + secondsOf(task), CMDB_SECONDS);
  say(`planned: ${all.length} workloads in ${Math.round(planned)} s, ended by ${budget} s`);
  const cmdb = await Cmdb.start();
  try {
    const bench = { cmdb, group: new Cgroup('tracer'), helperGroup: new Cgroup('helper') };
    await measureAll(bench, all, budget - CMDB_SECONDS);
  } finally {
    await cmdb.stop();
  }
}

await main();
