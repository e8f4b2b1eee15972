import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

export interface ProgramRun {
  readonly stdout: string;
  readonly stderr: string;
  /** `exit CODE`, a signal's name, or why the program could not be started. */
  readonly end: string;
}

/** Runs a program to its end; killed after `timeoutMs`. A failed start is a value, too. */
export async function runProgram(
  command: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<ProgramRun> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Not spawn's own `timeout`: after a failed start its timer keeps this process alive.
    signal: AbortSignal.timeout(timeoutMs),
    killSignal: 'SIGKILL',
  });
  const end = new Promise<string>((resolve) => {
    child.once('error', ({ name, message }) =>
      resolve(name === 'AbortError' ? `killed after ${timeoutMs} ms` : message),
    );
    child.once('close', (code, signal) => resolve(signal ?? `exit ${code}`));
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { stdout, stderr, end: await end };
}
