import { spawn } from 'node:child_process';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestLine } from './guest/lines.ts';
import type { GuestImages, KernelName } from './guest-images.ts';

/** Emulated guests take under a minute; one that hangs must not hold up the others for long. */
const GUEST_TIMEOUT_S = 240;
/** What runs in a guest if nothing else is asked for. */
const GUEST_PROGRAM = 'dist/test/kernels/guest/main.js';
/** A guest prints its first line within 20 s; one in some twenty emulated boots stops before. */
const FIRST_LINE_TIMEOUT_MS = 60_000;
const CONSOLE_LINES_SHOWN = 40;

export interface GuestTask {
  /** Compiled program, from the root of the repository. */
  readonly program: string;
  readonly timeoutS: number;
  /**
   * What the guest's time is: the host's, or a nanosecond for each instruction that it executes. The
   * second takes longer, and lets a guest that is slow to us bear as much a second as real machines.
   */
  readonly clock: 'host' | 'instructions';
}

const PROBE_AND_TRACE: GuestTask = {
  program: GUEST_PROGRAM,
  timeoutS: GUEST_TIMEOUT_S,
  clock: 'host',
};

export interface GuestRun {
  readonly lines: readonly GuestLine[];
  /** Exit code of the guest's program. */
  readonly exitCode: number;
  readonly elapsedMs: number;
  /** Why a first try had to be repeated, null when it had not. */
  readonly retriedAfter: string | null;
}

/** The guest, not what it tests, failed: it did not boot, crashed, hung, or contradicts itself. */
export class GuestFailure extends Error {
  override readonly name = 'GuestFailure';
}

/**
 * Boots a guest and waits for its program to end; tries once more when the guest itself fails.
 * Leaves `console-NAME.log` and `results-NAME.jsonl` in `directory`, named after the clock too where it
 * is not the host's.
 * @throws GuestFailure
 */
export async function runGuest(
  name: KernelName,
  images: GuestImages,
  directory: string,
  task = PROBE_AND_TRACE,
): Promise<GuestRun> {
  try {
    return { ...(await bootOnce(name, images, directory, task)), retriedAfter: null };
  } catch (error) {
    if (!(error instanceof GuestFailure)) throw error;
    return { ...(await bootOnce(name, images, directory, task)), retriedAfter: error.message };
  }
}

async function bootOnce(
  name: KernelName,
  images: GuestImages,
  directory: string,
  task: GuestTask,
): Promise<Omit<GuestRun, 'retriedAfter'>> {
  const label = task.clock === 'host' ? name : `${name}-${task.clock}`;
  const console = join(directory, `console-${label}.log`);
  const results = join(directory, `results-${label}.jsonl`);
  rmSync(results, { force: true });
  const started = Date.now();
  const argv = qemuArguments(name, images, task, { console, results });
  const qemu = await runQemu(argv, results, task.timeoutS);
  const elapsedMs = Date.now() - started;
  const fail = (what: string) =>
    new GuestFailure(`${name}: ${what}\n${qemu.stderr}${lastLines(console, CONSOLE_LINES_SHOWN)}`);

  const printed = lastLines(results, Number.POSITIVE_INFINITY).split('\n');
  const exitCode = Number(/^EXIT (\d+)$/.exec(printed.pop() ?? '')?.[1] ?? Number.NaN);
  // isa-debug-exit turns n into 2n + 1. QEMU's own failures and a reboot give other values.
  if (qemu.exitCode !== 2 * exitCode + 1) {
    throw fail(`QEMU ended with ${qemu.exitCode}, the guest said ${exitCode}`);
  }
  try {
    const lines = printed.map((line) => JSON.parse(line) as GuestLine);
    return { lines, exitCode, elapsedMs };
  } catch (error) {
    throw new GuestFailure(`${name}: results are garbled`, { cause: error });
  }
}

function qemuArguments(
  name: KernelName,
  images: GuestImages,
  { program, clock }: GuestTask,
  { console, results }: { readonly console: string; readonly results: string },
): string[] {
  // Emulation of 5-level page tables is slow, and 6.12 crashes now and then with emulated cx16.
  const cpu = name === '6.12' ? 'max,-la57,-cx16' : 'max,-la57';
  // Where time is instructions, the second processor of older kernels never comes up.
  const smp = name === '5.10' || name === '6.1' ? '1' : '2';
  return [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ['-machine', 'pc', '-cpu', cpu, '-m', '1024'],
    clock === 'host'
      ? ['-accel', 'tcg,thread=multi', '-smp', '2']
      : ['-accel', 'tcg,thread=single', '-smp', smp, '-icount', 'shift=0,sleep=off'],
    ['-kernel', images.kernel, '-initrd', images.initrd],
    ['-append', `console=ttyS0 loglevel=5 oops=panic panic=-1 guest_program=${program}`],
    ['-drive', `file=${images.root},format=raw,if=none,id=root,readonly=on`],
    ['-device', 'virtio-blk-pci,drive=root', '-device', 'virtio-rng-pci'],
    [
      '-serial',
      `file:${console}`,
      '-serial',
      `file:${results}`,
      '-device',
      'isa-debug-exit,iobase=0xf4,iosize=4',
    ],
  ].flat();
}

interface QemuEnd {
  /** -1 when a signal ended it. */
  readonly exitCode: number;
  readonly stderr: string;
}

/** Under timeout(1), so that a guest also ends when this process is killed. */
async function runQemu(
  args: readonly string[],
  results: string,
  timeoutS: number,
): Promise<QemuEnd> {
  const limit = ['-k', '5', String(timeoutS)];
  const child = spawn('timeout', [...limit, 'qemu-system-x86_64', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const watchdog = setTimeout(() => {
    if (statSync(results, { throwIfNoEntry: false })?.size) return;
    stderr += `no result within ${FIRST_LINE_TIMEOUT_MS} ms: it hung at boot\n`;
    child.kill('SIGTERM'); // timeout(1) hands it on
  }, FIRST_LINE_TIMEOUT_MS);
  return await new Promise<QemuEnd>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ exitCode: code ?? -1, stderr }));
  }).finally(() => clearTimeout(watchdog));
}

/** @returns the last lines of a file, '' when it is not there */
function lastLines(path: string, count: number): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-count).join('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
