import { readFileSync, writeFileSync } from 'node:fs';
import { runOk } from '../../test/support/run.ts';

const SWITCH = '/proc/sys/kernel/bpf_stats_enabled';

interface Program {
  readonly name?: string;
  readonly run_time_ns?: number;
  readonly run_cnt?: number;
  readonly pids?: readonly { readonly pid: number }[];
}

/** What a BPF program has taken so far. */
export interface ProgramTime {
  readonly name: string;
  readonly ns: number;
  readonly runs: number;
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

/** Time spent so far in the programs that a process holds; none without statistics. */
export async function bpfPrograms(pid: number | undefined): Promise<readonly ProgramTime[]> {
  if (pid === undefined || readFileSync(SWITCH, 'utf8').trim() === '0') return [];
  const programs = JSON.parse(await runOk('bpftool', ['-j', 'prog', 'show'])) as Program[];
  return programs
    .filter(({ pids = [] }) => pids.some((holder) => holder.pid === pid))
    .map(({ name = '', run_time_ns: ns = 0, run_cnt: runs = 0 }) => ({ name, ns, runs }));
}

/** The same in all, nanoseconds. */
export async function bpfTime(pid: number | undefined): Promise<number> {
  return (await bpfPrograms(pid)).reduce((sum, { ns }) => sum + ns, 0);
}
