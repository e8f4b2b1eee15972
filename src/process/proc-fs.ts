import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { type ProcessStat, parseEffectiveUid, parseStat } from './stat.ts';
import { printable, withoutDeletedMark } from './text.ts';

const BUFFER_BYTES = 16_384;
/** Enough for any program's name; a command line may be megabytes. */
const CMDLINE_BYTES = 4_096;

/** `absent`: no such file, or its process has gone meanwhile; `denied`: not allowed to look. */
export type Failure = 'absent' | 'denied';
export type ReadResult = { readonly text: string } | Failure;

/** Reads of the proc filesystem below one root. Every failure is a value. */
export class ProcFs {
  readonly #root: string;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #unexpectedErrors = 0;

  constructor(root: string) {
    this.#root = root;
  }

  /** Failures that were neither "gone" nor "not allowed", such as running out of descriptors. */
  get unexpectedErrors(): number {
    return this.#unexpectedErrors;
  }

  stat(pid: number): ProcessStat | null {
    const result = this.read(`${pid}/stat`);
    return typeof result === 'string' ? null : parseStat(result.text);
  }

  /** Path of the executable as the reader's mount namespace shows it. */
  exe(pid: number): ReadResult {
    try {
      const target = readlinkSync(`${this.#root}/${pid}/exe`);
      return { text: printable(withoutDeletedMark(target)) };
    } catch (error) {
      return this.#failure(error);
    }
  }

  /** @returns -1 when it can't be read */
  effectiveUid(pid: number): number {
    const result = this.read(`${pid}/status`);
    return typeof result === 'string' ? -1 : parseEffectiveUid(result.text);
  }

  /** The beginning of the command line; '' when it can't be read. */
  cmdline(pid: number): string {
    const result = this.read(`${pid}/cmdline`, CMDLINE_BYTES);
    return typeof result === 'string' ? '' : result.text;
  }

  /** Inode number of a process's network namespace, null when it can't be read. */
  netns(pid: number | 'self'): number | null {
    try {
      const [, inode] = /^net:\[(\d+)\]$/.exec(readlinkSync(`${this.#root}/${pid}/ns/net`)) ?? [];
      return inode === undefined ? null : Number(inode);
    } catch (error) {
      this.#failure(error);
      return null;
    }
  }

  /**
   * All of a file of a process's network namespace, such as `if_inet6`; null when it can't be read
   * (without IPv6 there is none).
   */
  netFile(pid: number, name: string): string | null {
    try {
      return readFileSync(`${this.#root}/${pid}/net/${name}`, 'utf8');
    } catch (error) {
      this.#failure(error);
      return null;
    }
  }

  /** Contents of /proc/PID/cgroup; of this process' own with `self`. */
  cgroup(pid: number | 'self'): string | null {
    const result = this.read(`${pid}/cgroup`);
    return typeof result === 'string' ? null : result.text;
  }

  /** All mounts this process sees (of any length: hosts full of containers have thousands). */
  mountinfo(): string {
    try {
      return readFileSync(`${this.#root}/self/mountinfo`, 'utf8');
    } catch (error) {
      this.#failure(error);
      return '';
    }
  }

  /** Thread ids of a process; none when it has gone. */
  threads(pid: number): readonly number[] {
    return this.#numbers(`${this.#root}/${pid}/task`);
  }

  /** Ids of all processes that can be seen. */
  pids(): readonly number[] {
    return this.#numbers(this.#root);
  }

  /**
   * The beginning of a file as UTF-8; invalid bytes become U+FFFD. Plain system calls into one
   * buffer: for these files they cost two thirds of `readFileSync`.
   */
  read(path: string, maxBytes: number = BUFFER_BYTES): ReadResult {
    let fd: number | undefined;
    try {
      fd = openSync(`${this.#root}/${path}`, 'r');
      const length = readSync(fd, this.#buffer, 0, Math.min(maxBytes, BUFFER_BYTES), null);
      return { text: this.#buffer.toString('utf8', 0, length) };
    } catch (error) {
      return this.#failure(error);
    } finally {
      if (fd !== undefined) {
        closeSync(fd);
      }
    }
  }

  #numbers(directory: string): readonly number[] {
    try {
      return readdirSync(directory).map(Number).filter(Number.isInteger);
    } catch (error) {
      this.#failure(error);
      return [];
    }
  }

  #failure(error: unknown): Failure {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ESRCH') {
      return 'absent';
    }
    if (code !== 'EACCES' && code !== 'EPERM') {
      this.#unexpectedErrors++;
    }
    return 'denied';
  }
}
