import { printable } from './text.ts';

/** Nanoseconds in a tick of /proc/PID/stat: USER_HZ is 100 wherever Node runs. */
const TICK_NS = 10_000_000n;

/** `PF_KTHREAD` of include/linux/sched.h: a kernel thread, which has no executable. */
const PF_KTHREAD = 0x00200000;

/** The fields of /proc/PID/stat that identify a process (proc(5)). */
export interface ProcessStat {
  /** comm of the thread-group leader. */
  readonly comm: string;
  /** One letter; `Z` and `X` are dead. */
  readonly state: string;
  readonly ppid: number;
  readonly pgid: number;
  readonly kernelThread: boolean;
  readonly threads: number;
  /** Start, ticks since boot. */
  readonly startTicks: number;
}

/**
 * Parses /proc/PID/stat. comm may hold spaces and parentheses, so the last `)` ends it: no field
 * behind it has one.
 * @returns null when the text is not a stat line
 */
export function parseStat(text: string): ProcessStat | null {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) {
    return null;
  }
  // Index 0 here is field 3 of proc(5).
  const fields = text.slice(close + 2).split(' ', 20);
  const startTicks = Number(fields[19]);
  if (!Number.isSafeInteger(startTicks)) {
    return null;
  }
  return {
    comm: printable(text.slice(open + 1, close)),
    state: fields[0] ?? '',
    ppid: Number(fields[1]),
    pgid: Number(fields[2]),
    kernelThread: (Number(fields[6]) & PF_KTHREAD) !== 0,
    threads: Number(fields[17]),
    startTicks,
  };
}

/**
 * Effective user id from /proc/PID/status; the owner of /proc/PID would not do, it is root for
 * every process that is not dumpable, such as the workers of a server that dropped privileges.
 * @returns -1 when the text has none
 */
export function parseEffectiveUid(status: string): number {
  const match = /^Uid:\t\d+\t(\d+)/m.exec(status);
  return match === null ? -1 : Number(match[1]);
}

export function ticksOf(startTimeNs: bigint): number {
  return Number(startTimeNs / TICK_NS);
}

export function startTimeNsOf(ticks: number): bigint {
  return BigInt(ticks) * TICK_NS;
}

/** Whether two start times are one: kernels before 5.5 rounded differently from what BPF reads. */
export function sameStart(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1;
}
