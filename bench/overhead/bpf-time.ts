import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { eventually } from '../../test/support/processes.ts';
import { ENDS_WITH_US, runOk } from '../../test/support/run.ts';
import { end } from './tracer.ts';

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

/** Time in BPF programs; `clockNs` of it took the clock that measures it. */
export interface BpfTime {
  readonly ns: number;
  readonly runs: number;
  readonly clockNs?: number;
}

/** Whatever was left on: what is measured would pay for the kernel's clock. */
export function stopBpfStatistics(): void {
  if (existsSync(SWITCH)) writeFileSync(SWITCH, '0');
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

/** Iterators run in whoever reads them: their time is in the helper's CPU already. */
const ITERATOR = /^reconcile/;

/** What the programs on the paths of others' connections have taken in all so far. */
export async function bpfTime(pid: number | undefined): Promise<BpfTime> {
  const programs = await bpfPrograms(pid);
  const hooks = programs.filter(({ name }) => !ITERATOR.test(name));
  const sum = (of: (program: ProgramTime) => number) =>
    hooks.reduce((all, program) => all + of(program), 0);
  return { ns: sum(({ ns }) => ns), runs: sum(({ runs }) => runs) };
}

/**
 * What the kernel's clock finds that a program takes which does nothing, where ours run: so much of each
 * of their runs is the clock's, not theirs. bpftrace finds tracepoints below debugfs only.
 */
const EMPTY_PROGRAM = [
  ...['unshare', '-m', 'sh', '-c'],
  'mount -t debugfs none /sys/kernel/debug; exec bpftrace -e "$0"',
  'tracepoint:sock:inet_sock_set_state { }',
];

/** Measures something with such a program beside it. `clockNsPerRun` is undefined without bpftrace. */
export async function besideEmptyProgram<T>(
  use: () => Promise<T>,
): Promise<{ readonly used: T; readonly clockNsPerRun: number | undefined }> {
  const [command = '', ...rest] = [...ENDS_WITH_US, ...EMPTY_PROGRAM];
  const child = spawn(command, rest, { stdio: 'ignore' });
  const { pid } = child;
  try {
    await eventually(
      () =>
        child.exitCode !== null ||
        bpfPrograms(pid).then(
          (programs) => programs.length > 0,
          () => false,
        ),
      { what: 'an empty BPF program' },
    );
    const used = await use();
    const programs = child.exitCode === null ? await bpfPrograms(pid) : [];
    const [ns, runs] = [programs[0]?.ns ?? 0, programs[0]?.runs ?? 0];
    return { used, clockNsPerRun: runs > 0 ? ns / runs : undefined };
  } finally {
    await end(child);
  }
}
