import type { ChildProcess } from 'node:child_process';
import type { Cgroup } from './cgroup.ts';
import type { Cmdb } from './cmdb.ts';
import type { Seen } from './seen.ts';
import type { World } from './world.ts';

/** What a tracer is started into. */
export interface Setting {
  readonly world: World;
  readonly cmdb: Cmdb;
  /** Where its processes' CPU time is counted. */
  readonly group: Cgroup;
  /** The host whose connections it shall see. */
  readonly side: 'server' | 'client';
  /** All network namespaces of the machine instead of that host's; only ours can. */
  readonly allNetns: boolean;
  /** Length of the measurement to come, seconds. */
  readonly seconds: number;
  /** Command that runs what follows under a profiler, for our agent. */
  readonly profiler?: readonly string[];
}

/** A tracer that has attached. */
export interface RunningTracer {
  /** From its start until it had attached, or undefined when it doesn't say. */
  readonly startMs?: number;
  /** CPU time and memory that only our agent tells apart. */
  readonly helperPid?: number;
  readonly agentPid?: number;
  /** Ends it; gives what it had seen. */
  stop(): Promise<Seen>;
  /** Ends it when its measurement failed. */
  kill(): Promise<void>;
}

export interface Condition {
  readonly name: string;
  /** Commands it needs; without them it is left out, and the report says so. */
  readonly needs: readonly string[];
  start(setting: Setting): Promise<RunningTracer>;
}

/** Ends a process and waits for that. */
export async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(timer);
}
