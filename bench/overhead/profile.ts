/**
 * Where the time of our tracer goes, under the workloads whose goals are the hardest: agent and helper
 * with what the kernel does for them by function (`perf record`, with V8's map of its functions), BPF
 * by program. Writes bench/overhead/profiles.json, which the report shows: `make bench-profile`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { REPOSITORY, runOk } from '../../test/support/run.ts';
import { describeMachine } from '../machine.ts';
import { bpfPrograms, type ProgramTime, withBpfStatistics } from './bpf-time.ts';
import { Cgroup } from './cgroup.ts';
import { Cmdb } from './cmdb.ts';
import { ownDirectory, removeOf, removeStale } from './leftovers.ts';
import type { Bench } from './measure.ts';
import { OURS } from './ours.ts';
import { memoryOf } from './proc.ts';
import { type Part, type Profile, type Profiles, topOf } from './profiles.ts';
import { type Workload, workloads } from './workloads.ts';
import { World } from './world.ts';

interface Case {
  readonly workload: string;
  readonly condition: 'stream' | 'poll';
  readonly seconds: number;
}

const CASES: readonly Case[] = [
  { workload: 'keepalive-19900', condition: 'stream', seconds: 30 },
  { workload: 'keepalive-19900', condition: 'poll', seconds: 10 },
  { workload: 'procs-500', condition: 'stream', seconds: 10 },
  { workload: 'churn-10000', condition: 'stream', seconds: 10 },
  { workload: 'peers-10000', condition: 'stream', seconds: 10 },
  { workload: 'idle', condition: 'stream', seconds: 30 },
];

const PROFILES = join(REPOSITORY, 'bench', 'overhead', 'profiles.json');
const PERF_HZ = 4999;
const SETTLE_MS = 1000;

/**
 * Node tells perf the names of its functions, also of those that it interprets; what follows is
 * `setpriv --pdeathsig TERM NODE` and its arguments.
 */
const NAMING = [
  ...['sh', '-c'],
  'a=$0 b=$1 c=$2 n=$3; shift 3; exec "$a" "$b" "$c" "$n" --perf-basic-prof --interpreted-frames-native-stack "$@"',
];

/** Samples of processes while something goes on, as perf's lines `PID IP SYMBOL`. */
async function samplesOf(pids: readonly number[], seconds: number): Promise<string[]> {
  const file = join(await mkdtemp(join(tmpdir(), 'profile-')), 'perf.data');
  const argv = ['record', '-q', '-e', 'cpu-clock', '-F', String(PERF_HZ), '-p', pids.join(',')];
  const perf = spawn('perf', [...argv, '-o', file, '--', 'sleep', String(seconds)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await once(perf, 'close');
  const options = { timeoutMs: 60_000 };
  const text = await runOk('perf', ['script', '-i', file, '-F', 'pid,ip,sym'], options);
  return text.split('\n').filter((line) => line.trim() !== '');
}

/** CPU time of a process in the kernel, whose addresses are the upper ones, milliseconds. */
function kernelMsOf(pid: number, samples: readonly string[]): number {
  const inKernel = new RegExp(`^ *${pid} +ffff[0-9a-f]{12} `);
  return (samples.filter((line) => inKernel.test(line)).length * 1000) / PERF_HZ;
}

/** CPU time of a process by function, milliseconds. */
function partsOf(pid: number, samples: readonly string[]): Part[] {
  const counts = new Map<string, number>();
  for (const line of samples) {
    const [, owner, symbol = ''] = /^ *(\d+) +[0-9a-f]+ (.*)$/.exec(line) ?? [];
    if (Number(owner) !== pid) continue;
    const name = nameOf(symbol);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([what, count]) => ({ what, ms: (count * 1000) / PERF_HZ }));
}

/** `JS:*name file:///.../file.js:1:2`, or a function of the kernel, of Node or of the helper. */
function nameOf(symbol: string): string {
  const [, name = '', file = ''] = /^JS:[*^~+]?(\S*) (?:\S*\/)?([^/]+:\d+):\d+$/.exec(symbol) ?? [];
  return file === '' ? symbol.replace(/\(.*/, '') : `${name || '(anonymous)'} ${file}`;
}

function grownPrograms(before: readonly ProgramTime[], after: readonly ProgramTime[]): Part[] {
  return after.map(({ name, ns, runs }) => {
    const earlier = before.find((one) => one.name === name);
    const grown = runs - (earlier?.runs ?? 0);
    return { what: name, ms: (ns - (earlier?.ns ?? 0)) / 1e6, runs: grown };
  });
}

const round = (mb: number) => Math.round(mb * 10) / 10;

async function profileOf(bench: Bench, workload: Workload, one: Case): Promise<Profile> {
  const condition = OURS.find(({ name }) => name === one.condition);
  if (!condition) throw new Error(`no condition ${one.condition}`);
  const world = await World.create();
  const load = await workload.start(world);
  try {
    const tracer = await condition.start({
      ...{ world, cmdb: bench.cmdb, group: bench.group, side: workload.side },
      ...{ seconds: Math.min(one.seconds, 30), allNetns: false, profiler: NAMING },
    });
    const { agentPid, helperPid } = tracer;
    if (agentPid === undefined || helperPid === undefined) throw new Error('not our tracer');
    bench.helperGroup.add(helperPid);
    await sleep(SETTLE_MS);
    const groups = [bench.group, bench.helperGroup, bench.cmdb.group];
    const programs = await bpfPrograms(helperPid);
    const [before, startedMs] = [groups.map((group) => group.cpuUs()), performance.now()];
    const recording = samplesOf([agentPid, helperPid], one.seconds);
    const { connections } = await load.run(one.seconds);
    const seconds = (performance.now() - startedMs) / 1000;
    const cpuMs = groups.map((group, index) => (group.cpuUs() - (before[index] ?? 0)) / 1000);
    const bpf = grownPrograms(programs, await bpfPrograms(helperPid));
    const memory = memoryOf(agentPid);
    const samples = await recording;
    await tracer.stop();
    await rm(`/tmp/perf-${agentPid}.map`, { force: true });
    const [agentMs = 0, helperMs = 0, cmdbMs = 0] = cpuMs;
    return {
      ...{ workload: one.workload, condition: one.condition },
      seconds,
      connections,
      ...{ agentMs, helperMs, cmdbMs },
      agentMemory: { rssMb: round(memory.rssMb), anonymousMb: round(memory.anonymousMb) },
      agentKernelMs: kernelMsOf(agentPid, samples),
      helperKernelMs: kernelMsOf(helperPid, samples),
      bpfMs: bpf.reduce((sum, { ms }) => sum + ms, 0),
      agent: topOf(partsOf(agentPid, samples)),
      helper: topOf(partsOf(helperPid, samples)),
      bpf: topOf(bpf),
    };
  } finally {
    await load.stop();
    await world.destroy();
  }
}

/** Those of earlier runs that this one did not take. */
async function otherProfiles(taken: readonly Profile[]): Promise<readonly Profile[]> {
  const earlier = JSON.parse(await readFile(PROFILES, 'utf8')) as Profiles;
  const names = taken.map(({ workload, condition }) => `${workload} ${condition}`);
  return earlier.profiles.filter(
    ({ workload, condition }) => !names.includes(`${workload} ${condition}`),
  );
}

async function main(): Promise<void> {
  const root = tmpdir();
  await removeStale(root);
  process.env['TMPDIR'] = await ownDirectory(root);
  const cmdb = await Cmdb.start();
  const bench = { cmdb, group: new Cgroup('tracer'), helperGroup: new Cgroup('helper') };
  const profiles: Profile[] = [];
  const only = process.env['BENCH_ONLY']?.split(',');
  try {
    for (const one of CASES.filter(({ workload }) => !only || only.includes(workload))) {
      const workload = workloads(false).find(({ name }) => name === one.workload);
      if (!workload) throw new Error(`no workload ${one.workload}`);
      process.stderr.write(`${one.workload} ${one.condition}\n`);
      profiles.push(await withBpfStatistics(() => profileOf(bench, workload, one)));
    }
  } finally {
    await cmdb.stop();
    await removeOf(process.pid, root);
  }
  const kept = only ? await otherProfiles(profiles) : [];
  const all = { machine: await describeMachine(), profiles: [...kept, ...profiles] };
  await writeFile(PROFILES, `${JSON.stringify(all, undefined, 2)}\n`);
}

await main();
