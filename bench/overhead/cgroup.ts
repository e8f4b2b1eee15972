import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../../test/support/processes.ts';

/** Names of the groups: the bench's pid follows, and what it is for. */
export const GROUP_PREFIX = 'transtracer-bench-';

/** Where the version 2 hierarchy is mounted, alone or beside version 1 (cgroups(7)). */
export function mountPoint(): string {
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, directory, type] = line.split(' ');
    if (type === 'cgroup2' && directory !== undefined) return directory;
  }
  throw new Error('no cgroup2 file system is mounted: CPU time of processes that ended is unknown');
}

/**
 * A control group, for its accounting: CPU time of all that ever ran in it, also of processes that
 * have ended since, in microseconds and not in ticks. It limits nothing.
 */
export class Cgroup {
  readonly #path: string;

  constructor(name: string) {
    this.#path = join(mountPoint(), `${GROUP_PREFIX}${process.pid}-${name}`);
    mkdirSync(this.#path, { recursive: true });
  }

  /** Command that runs what follows in here; same pid. */
  get wrapper(): readonly string[] {
    return ['sh', '-c', 'echo 0 >"$0/cgroup.procs" && exec "$@"', this.#path];
  }

  /**
   * Moves a process that runs already; its CPU time so far stays where it was spent. False when it
   * has ended.
   */
  add(pid: number): boolean {
    try {
      writeFileSync(join(this.#path, 'cgroup.procs'), String(pid));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
      throw error;
    }
  }

  pids(): number[] {
    return readFileSync(join(this.#path, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map(Number);
  }

  /** CPU time so far, microseconds. */
  cpuUs(): number {
    const usage = /^usage_usec (\d+)/m.exec(readFileSync(join(this.#path, 'cpu.stat'), 'utf8'));
    return Number(usage?.[1]);
  }

  /** Waits for the last of its processes to end. */
  async remove(): Promise<void> {
    await eventually(() => this.pids().length === 0, { what: `the end of all in ${this.#path}` });
    rmdirSync(this.#path);
  }
}
