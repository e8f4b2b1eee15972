import { readdirSync, readFileSync } from 'node:fs';
import { processStat } from '../../test/support/processes.ts';

/** Length of a clock tick of /proc/PID/stat: USER_HZ is 100 on every architecture of Linux we run on. */
const TICK_MS = 10;
/** PF_KTHREAD of linux/sched.h. */
const KERNEL_THREAD = 0x00200000;

export interface Memory {
  readonly rssMb: number;
  /** Shared pages divided among those who share them. */
  readonly pssMb: number;
  /** Of the resident ones, those that no file backs: heaps and stacks. */
  readonly anonymousMb: number;
}

/** Memory of a process; zero when it has ended. */
export function memoryOf(pid: number): Memory {
  const kb = (text: string, key: string) =>
    Number(new RegExp(`^${key}: +(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const mb = (key: string) => kb(text, key) / 1024;
    return { rssMb: mb('Rss'), pssMb: mb('Pss'), anonymousMb: mb('Anonymous') };
  } catch {
    // It ended meanwhile.
    return { rssMb: 0, pssMb: 0, anonymousMb: 0 };
  }
}

/**
 * CPU time, in milliseconds, of each process that is neither the kernel's nor one of `ours`: what
 * disturbs a measurement. To be read before and after it.
 */
export function foreignCpuMs(ours: ReadonlySet<number>): Map<number, number> {
  const used = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid || ours.has(pid)) continue;
    try {
      const fields = processStat(pid);
      if (Number(fields[6]) & KERNEL_THREAD) continue;
      used.set(pid, (Number(fields[11]) + Number(fields[12])) * TICK_MS);
    } catch {
      // It ended between the listing and the reading.
    }
  }
  return used;
}

/** What grew between two readings; who began in between counts from zero. */
export function grownMs(
  before: ReadonlyMap<number, number>,
  after: ReadonlyMap<number, number>,
): number {
  let sumMs = 0;
  for (const [pid, ms] of after) sumMs += ms - (before.get(pid) ?? 0);
  return sumMs;
}
