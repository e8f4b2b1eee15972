import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { runOk } from '../../test/support/run.ts';

const SWITCH = '/proc/sys/kernel/bpf_stats_enabled';

interface Program {
  readonly id: number;
  readonly name?: string;
  readonly run_time_ns?: number;
  readonly run_cnt?: number;
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

/** Ids of the programs behind a process's descriptors; not every bpftool tells who holds one. */
function programsOf(pid: number): ReadonlySet<number> {
  const directory = `/proc/${pid}/fdinfo`;
  const ids = readdirSync(directory).flatMap((name) => {
    try {
      const id = /^prog_id:\s+(\d+)/m.exec(readFileSync(`${directory}/${name}`, 'utf8'))?.[1];
      return id === undefined ? [] : [Number(id)];
    } catch {
      return []; // closed between the listing and the reading
    }
  });
  return new Set(ids);
}

/** Time spent so far in the programs that a process holds; none without statistics. */
export async function bpfPrograms(pid: number | undefined): Promise<readonly ProgramTime[]> {
  if (pid === undefined || readFileSync(SWITCH, 'utf8').trim() === '0') return [];
  const held = programsOf(pid);
  const programs = JSON.parse(await runOk('bpftool', ['-j', 'prog', 'show'])) as Program[];
  return programs
    .filter(({ id }) => held.has(id))
    .map(({ name = '', run_time_ns: ns = 0, run_cnt: runs = 0 }) => ({ name, ns, runs }));
}

/** The same in all, nanoseconds. */
export async function bpfTime(pid: number | undefined): Promise<number> {
  return (await bpfPrograms(pid)).reduce((sum, { ns }) => sum + ns, 0);
}
