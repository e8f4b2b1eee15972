import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The checkout; compiled, this file is dist/test/support/run.js. */
export const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

/** Reason to skip what looks into the kernel, false for root. */
export const SKIP_UNLESS_ROOT: string | false = process.getuid?.() === 0 ? false : 'needs root';

/** Runs what follows so that it ends with the test process, were that killed. Same pid. */
export const ENDS_WITH_US: readonly string[] = ['setpriv', '--pdeathsig', 'TERM'];

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

export interface RunOptions {
  /** The whole environment but for PATH, so that no PG* variable of the tester gets in. */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Runs a command to its end; one that takes too long is killed and the promise rejected. */
export function run(
  command: string,
  argv: readonly string[],
  { env = {}, timeoutMs = 30_000 }: RunOptions = {},
): Promise<Outcome> {
  const startedMs = performance.now();
  const child = spawn(command, argv, {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${command} ${argv.join(' ')}: not done after ${timeoutMs} ms\n${stderr}`));
    }, timeoutMs);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr, ms: performance.now() - startedMs });
    });
  });
}

/** Runs a command that must succeed and gives its output. */
export async function runOk(
  command: string,
  argv: readonly string[],
  options?: RunOptions,
): Promise<string> {
  const { code, signal, stdout, stderr } = await run(command, argv, options);
  if (code !== 0) {
    throw new Error(`${command} ${argv.join(' ')}: exit ${code ?? signal}\n${stderr}`);
  }
  return stdout;
}
