import { setTimeout as sleep } from 'node:timers/promises';
import { type BpfTime, bpfTime } from './bpf-time.ts';
import type { Cgroup } from './cgroup.ts';
import type { Cmdb } from './cmdb.ts';
import type { LoadFigures } from './load.ts';
import { foreignCpuMs, grownMs, type Memory, memoryOf } from './proc.ts';
import type { Seen } from './seen.ts';
import type { RunningTracer } from './tracer.ts';
import type { World } from './world.ts';

/** One workload under one condition, once. CPU in percent of one core. */
export interface Measurement {
  readonly load: LoadFigures;
  /** How long was measured. */
  readonly seconds: number;
  /** All of the tracer: for ours the agent, the helper and PostgreSQL. */
  readonly cpuPct: number;
  readonly cpuCmdbPct?: number;
  readonly cpuHelperPct?: number;
  /** All of the machine but for what has nothing to do with this: what hides in the kernel shows. */
  readonly cpuAllPct: number;
  readonly foreignCpuPct: number;
  /** Time inside our BPF programs; only while the kernel keeps statistics of them. */
  readonly bpf?: BpfTime;
  readonly startMs?: number;
  readonly agent?: Memory;
  readonly helper?: Memory;
  /** Connections there were, and what the tracer had of them in the end. */
  readonly truth: number;
  readonly seen?: Seen;
}

export interface Bench {
  readonly cmdb: Cmdb;
  readonly group: Cgroup;
  readonly helperGroup: Cgroup;
}

/** Between the start of a tracer and the measurement. */
const SETTLE_MS = 500;

/** Measures a load that runs meanwhile, with a tracer that has attached or none. */
export async function measureOnce(
  { cmdb, group, helperGroup }: Bench,
  world: World,
  tracer: RunningTracer | undefined,
  run: () => Promise<LoadFigures>,
): Promise<Omit<Measurement, 'truth' | 'seen'>> {
  if (tracer?.helperPid !== undefined) helperGroup.add(tracer.helperPid);
  await sleep(SETTLE_MS);
  const groups = [group, helperGroup, cmdb.group, world.groups.server, world.groups.client];
  const foreignCpu = () => foreignCpuMs(new Set(groups.flatMap((one) => one.pids())));
  const foreignBefore = foreignCpu();
  const bpfBefore = await bpfTime(tracer?.helperPid);
  const before = groups.map((one) => one.cpuUs());
  const startedMs = performance.now();
  const load = await run();
  const elapsedMs = performance.now() - startedMs;
  const percent = 100 / (elapsedMs * 1000);
  const used = groups.map((one, index) => (one.cpuUs() - (before[index] ?? 0)) * percent);
  const bpfAfter = await bpfTime(tracer?.helperPid);
  const bpf = { ns: bpfAfter.ns - bpfBefore.ns, runs: bpfAfter.runs - bpfBefore.runs };
  const foreignMs = grownMs(foreignBefore, foreignCpu());
  const [agentPct = 0, helperPct = 0, cmdbPct = 0] = used;
  const isOurs = tracer?.helperPid !== undefined;
  return {
    load,
    seconds: elapsedMs / 1000,
    cpuPct: agentPct + helperPct + (isOurs ? cmdbPct : 0),
    ...(isOurs ? { cpuHelperPct: helperPct, cpuCmdbPct: cmdbPct } : {}),
    cpuAllPct: used.reduce((sum, pct) => sum + pct, 0),
    foreignCpuPct: foreignMs * 1000 * percent,
    ...(bpf.runs > 0 ? { bpf } : {}),
    ...(tracer?.startMs === undefined ? {} : { startMs: tracer.startMs }),
    ...(tracer?.agentPid === undefined ? {} : { agent: memoryOf(tracer.agentPid) }),
    ...(tracer?.helperPid === undefined ? {} : { helper: memoryOf(tracer.helperPid) }),
  };
}
