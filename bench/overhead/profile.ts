/**
 * Where the time of our tracer goes, under the workloads whose goals are the hardest: the agent by
 * function (`node --cpu-prof`), the helper by symbol (`perf record`), BPF by program. Needs root and
 * perf. Writes bench/overhead/profiles.json, which the report shows: `make bench-profile`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { REPOSITORY, runOk } from '../../test/support/run.ts';
import { describeMachine } from '../machine.ts';
import { bpfPrograms, type ProgramTime, withBpfStatistics } from './bpf-time.ts';
import { Cgroup } from './cgroup.ts';
import { Cmdb } from './cmdb.ts';
import { readCpuProfile } from './cpu-profile.ts';
import { ownDirectory, removeOf, removeStale } from './leftovers.ts';
import type { Bench } from './measure.ts';
import { OURS } from './ours.ts';
import { type Part, type Profile, topOf } from './profiles.ts';
import { type Workload, workloads } from './workloads.ts';
import { World } from './world.ts';

interface Case {
  readonly workload: string;
  readonly condition: 'stream' | 'poll';
  readonly seconds: number;
}

const CASES: readonly Case[] = [
  { workload: 'keepalive-19900', condition: 'stream', seconds: 60 },
  { workload: 'keepalive-19900', condition: 'poll', seconds: 10 },
  { workload: 'procs-500', condition: 'stream', seconds: 10 },
  { workload: 'churn-10000', condition: 'stream', seconds: 10 },
  { workload: 'idle', condition: 'stream', seconds: 60 },
];

const PERF_HZ = 4999;
const SETTLE_MS = 1000;

/** Runs node under its profiler: its arguments come after `setpriv --pdeathsig TERM NODE`. */
function profiled(directory: string): readonly string[] {
  const options = `--cpu-prof --cpu-prof-interval=200 --cpu-prof-dir="$0"`;
  const script = `a=$1 b=$2 c=$3 node=$4; shift 4; exec "$a" "$b" "$c" "$node" ${options} "$@"`;
  return ['sh', '-c', script, directory];
}

/** CPU time of a process by symbol, milliseconds, while something goes on. */
async function perfOf(pid: number, seconds: number, directory: string): Promise<Part[]> {
  const file = join(directory, 'perf.data');
  const argv = ['record', '-q', '-e', 'cpu-clock', '-F', String(PERF_HZ), '-p', String(pid)];
  const perf = spawn('perf', [...argv, '-o', file, '--', 'sleep', String(seconds)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await once(perf, 'close');
  const text = await runOk('perf', ['script', '-i', file, '-F', 'ip,sym'], { timeoutMs: 60_000 });
  const samples = new Map<string, number>();
  for (const line of text.split('\n').filter((one) => one.trim() !== '')) {
    const symbol = line.trim().replace(/^[0-9a-f]+ /, '');
    samples.set(symbol, (samples.get(symbol) ?? 0) + 1);
  }
  return [...samples].map(([what, count]) => ({ what, ms: (count * 1000) / PERF_HZ }));
}

function grownPrograms(before: readonly ProgramTime[], after: readonly ProgramTime[]): Part[] {
  return after.map(({ name, ns, runs }) => {
    const earlier = before.find((one) => one.name === name);
    const grown = runs - (earlier?.runs ?? 0);
    return { what: name, ms: (ns - (earlier?.ns ?? 0)) / 1e6, runs: grown };
  });
}

async function profileOf(bench: Bench, workload: Workload, one: Case): Promise<Profile> {
  const directory = await mkdtemp(join(tmpdir(), 'profile-'));
  const condition = OURS.find(({ name }) => name === one.condition);
  if (!condition) throw new Error(`no condition ${one.condition}`);
  const world = await World.create();
  const load = await workload.start(world);
  try {
    const tracer = await condition.start({
      ...{ world, cmdb: bench.cmdb, group: bench.group, side: workload.side },
      ...{ seconds: Math.min(one.seconds, 30), allNetns: false, profiler: profiled(directory) },
    });
    const { helperPid } = tracer;
    if (helperPid === undefined) throw new Error('the helper has no pid');
    bench.helperGroup.add(helperPid);
    await sleep(SETTLE_MS);
    const groups = [bench.group, bench.helperGroup, bench.cmdb.group];
    const programs = await bpfPrograms(helperPid);
    const [before, fromNs] = [groups.map((group) => group.cpuUs()), process.hrtime.bigint()];
    const helper = perfOf(helperPid, one.seconds, directory);
    await load.run(one.seconds);
    const untilNs = process.hrtime.bigint();
    const cpuMs = groups.map((group, index) => (group.cpuUs() - (before[index] ?? 0)) / 1000);
    const bpf = grownPrograms(programs, await bpfPrograms(helperPid));
    const helperParts = await helper;
    await tracer.stop();
    const [agentMs = 0, helperMs = 0, cmdbMs = 0] = cpuMs;
    const agent = await readCpuProfile(directory, [fromNs, untilNs]);
    return {
      ...{ workload: one.workload, condition: one.condition },
      seconds: Number(untilNs - fromNs) / 1e9,
      ...{ agentMs, helperMs, cmdbMs },
      bpfMs: bpf.reduce((sum, { ms }) => sum + ms, 0),
      agent: topOf(agent),
      helper: topOf(helperParts),
      bpf: topOf(bpf),
    };
  } finally {
    await load.stop();
    await world.destroy();
  }
}

async function main(): Promise<void> {
  const root = tmpdir();
  await removeStale(root);
  process.env['TMPDIR'] = await ownDirectory(root);
  const cmdb = await Cmdb.start();
  const bench = { cmdb, group: new Cgroup('tracer'), helperGroup: new Cgroup('helper') };
  const profiles: Profile[] = [];
  try {
    for (const one of CASES) {
      const workload = workloads(false).find(({ name }) => name === one.workload);
      if (!workload) throw new Error(`no workload ${one.workload}`);
      process.stderr.write(`${one.workload} ${one.condition}\n`);
      profiles.push(await withBpfStatistics(() => profileOf(bench, workload, one)));
    }
  } finally {
    await cmdb.stop();
    await removeOf(process.pid, root);
  }
  const text = JSON.stringify({ machine: await describeMachine(), profiles }, undefined, 1);
  await writeFile(join(REPOSITORY, 'bench', 'overhead', 'profiles.json'), `${text}\n`);
}

await main();
