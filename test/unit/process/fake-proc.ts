import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface FakeProcess {
  readonly pid: number;
  readonly comm?: string;
  readonly state?: string;
  readonly ppid?: number;
  readonly pgid?: number;
  readonly flags?: number;
  readonly threads?: number;
  readonly startTicks?: number;
  readonly uid?: number;
  /** null: no link, as for kernel threads and zombies. */
  readonly exe?: string | null;
  readonly cmdline?: string;
  readonly cgroup?: string;
}

/** A proc filesystem, a cgroup mount and an /etc of the test's own, in a temporary directory. */
export class FakeHost implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'transtracer-proc-'));
  readonly proc = join(this.root, 'proc');
  readonly cgroup2 = join(this.root, 'cgroup two');
  readonly etc = join(this.root, 'etc');

  constructor(kind: 'v1' | 'v2' | 'hybrid' = 'v2') {
    mkdirSync(this.cgroup2);
    this.write('etc/passwd', 'root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\n');
    this.write('proc/self/mountinfo', kind === 'v1' ? v1Mount : `${v1Mount}${this.#v2Mount()}`);
    this.write('proc/self/cgroup', kind === 'v2' ? '0::/\n' : '1:name=systemd:/\n0::/\n');
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  write(path: string, text: string | Buffer): void {
    const file = join(this.root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  add(process: FakeProcess): void {
    const { pid, comm = 'prog', exe = '/usr/bin/prog', uid = 0 } = process;
    const directory = `proc/${pid}`;
    this.remove(pid);
    this.write(`${directory}/stat`, statLine({ ...process, comm }));
    this.write(`${directory}/status`, `Name:\t${comm}\nUid:\t1234\t${uid}\t${uid}\t${uid}\n`);
    this.write(`${directory}/cmdline`, process.cmdline ?? `${comm}\0--password=secret\0`);
    this.write(`${directory}/cgroup`, process.cgroup ?? '0::/\n');
    if (exe !== null) {
      symlinkSync(exe, join(this.root, directory, 'exe'));
    }
  }

  remove(pid: number): void {
    rmSync(join(this.proc, String(pid)), { recursive: true, force: true });
  }

  #v2Mount(): string {
    return `38 31 0:38 / ${this.cgroup2.replaceAll(' ', '\\040')} rw - cgroup2 cgroup2 rw\n`;
  }
}

const v1Mount = '37 31 0:37 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,name=systemd\n';

export function statLine(process: FakeProcess): string {
  const { pid, comm = 'prog', state = 'S', ppid = 1, pgid = pid, flags = 0x400000 } = process;
  const { threads = 1, startTicks = 1000 } = process;
  return `${pid} (${comm}) ${state} ${ppid} ${pgid} 9 0 -1 ${flags} 1 2 3 4 5 6 7 8 20 0 ${threads} 0 ${startTicks} 4096 100 18446744073709551615 1 1\n`;
}
