import { readFileSync, writeFileSync } from 'node:fs';
import { runOk } from '../../test/support/run.ts';

const SWITCH = '/proc/sys/kernel/bpf_stats_enabled';

interface Program {
  readonly run_time_ns?: number;
  readonly pids?: readonly { readonly pid: number }[];
}

/** Runs something while the kernel measures BPF programs, which costs them some time itself. */
export async function withBpfStatistics<T>(use: () => Promise<T>): Promise<T> {
  const before = readFileSync(SWITCH, 'utf8');
  writeFileSync(SWITCH, '1');
  try {
    return await use();
  } finally {
    writeFileSync(SWITCH, before);
  }
}

/** Time spent so far in the programs that a process holds, nanoseconds; 0 without statistics. */
export async function bpfTime(pid: number | undefined): Promise<number> {
  if (pid === undefined || readFileSync(SWITCH, 'utf8').trim() === '0') return 0;
  const programs = JSON.parse(await runOk('bpftool', ['-j', 'prog', 'show'])) as Program[];
  return programs
    .filter(({ pids = [] }) => pids.some((holder) => holder.pid === pid))
    .reduce((sum, { run_time_ns = 0 }) => sum + run_time_ns, 0);
}
