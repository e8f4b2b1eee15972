import { cpus, totalmem } from 'node:os';
import { release } from 'node:process';
import { runOk } from '../test/support/run.ts';

/** What the figures were measured on. */
export async function describeMachine(): Promise<Readonly<Record<string, string | number>>> {
  const [first] = cpus();
  return {
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: (await runOk('uname', ['-r'])).trim(),
    node: `${release.name} ${process.version}`,
    date: new Date().toISOString(),
  };
}
