import { execFile } from 'node:child_process';
import { accessSync, mkdirSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

/** Root of the repository; this file is run from dist/test/kernels. */
export const REPOSITORY = join(import.meta.dirname, '..', '..', '..');
const SCRIPTS = join(REPOSITORY, 'test', 'kernels');

export const KERNELS = ['5.10', '6.1', '6.12', '7'] as const;
export type KernelName = (typeof KERNELS)[number];

/** Files that QEMU boots one guest from. */
export interface GuestImages {
  readonly kernel: string;
  readonly initrd: string;
  readonly root: string;
}

/** For each kernel its images, or why there are none. */
export type PreparedGuests = ReadonlyMap<KernelName, GuestImages | string>;

const PROGRAMS = ['qemu-system-x86_64', 'mksquashfs', 'cpio', 'busybox', 'modprobe', 'xz', 'ip'];

/**
 * Fetches kernels (or takes them from the cache) and builds a guest's images for each.
 * @param directory where the images go; made anew
 */
export async function prepareGuests(directory: string): Promise<PreparedGuests> {
  const obstacle = findObstacle();
  if (obstacle !== null) {
    return new Map(KERNELS.map((name) => [name, obstacle]));
  }
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const root = join(directory, 'root.squashfs');
  const [kernels] = await Promise.all([fetchKernels(), script('build-guest.sh', ['root', root])]);
  const guests = new Map<KernelName, GuestImages | string>();
  for (const [name, kernel] of kernels) {
    guests.set(name, 'reason' in kernel ? kernel.reason : await images(name, kernel.path));
  }
  return guests;

  async function images(name: KernelName, path: string): Promise<GuestImages> {
    const initrd = join(directory, `initrd-${name}`);
    await script('build-guest.sh', ['initrd', path, initrd]);
    return { kernel: join(path, 'vmlinuz'), initrd, root };
  }
}

/** @returns why no guest can be run on this machine, null when they can */
function findObstacle(): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `guests are x86-64 and hold this machine's programs; this is ${process.platform} ${process.arch}`;
  }
  const missing = PROGRAMS.filter((program) => !isInstalled(program));
  return missing.length === 0
    ? null
    : `no ${missing.join(', ')}: run test/kernels/setup.sh as root`;
}

function isInstalled(program: string): boolean {
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
  return path.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program));
      return true;
    } catch {
      return false; // not here; that is the answer
    }
  });
}

async function fetchKernels(): Promise<Map<KernelName, { path: string } | { reason: string }>> {
  const stdout = await script('fetch-kernels.sh', KERNELS);
  const kernels = new Map<KernelName, { path: string } | { reason: string }>();
  for (const line of stdout.trim().split('\n')) {
    const [status, name, rest = ''] = line.split('\t');
    kernels.set(name as KernelName, status === 'ok' ? { path: rest } : { reason: rest });
  }
  return kernels;
}

async function script(name: string, args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await execFileAsync(join(SCRIPTS, name), args);
  process.stderr.write(stderr);
  return stdout;
}
