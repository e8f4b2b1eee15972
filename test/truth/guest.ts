/**
 * What runs in a guest of the kernel matrix: the table of cases and the loads on every rung, judged
 * by what the agent prints. Prints {@link TruthLine}s; what they should say is left to the host.
 */
import { mkdtemp } from 'node:fs/promises';
import { release } from 'node:os';
import type { GuestLine, TruthLine } from '../kernels/guest/lines.ts';
import { besideBuild, judgeLoad, type Load } from './load.ts';
import { LONGER, SHORT } from './loads.ts';
import { play } from './play.ts';
import { RUNGS, type Rung } from './watch.ts';

/** Emulated processors: what runs at once only waits for one another. */
const AT_ONCE = 3;
/** An emulated guest makes some 200 connections a second, if nothing else runs. */
const EMULATED_SHORT: Load = { ...SHORT, connectionsPerSecond: 100, processesPerSecond: 10 };
const EMULATED_LONGER: Load = { ...LONGER, connectionsPerSecond: 20, processesPerSecond: 10 };
const STORE = { kind: 'jsonl' } as const;

async function main(): Promise<void> {
  print({ kind: 'release', release: release() });
  // A case that failed half-way has ended the actor that it was going to wait for; the case tells.
  process.on('unhandledRejection', () => undefined);
  for (const rung of RUNGS) {
    await told(rung, 'truth', async () =>
      play({ rung, store: STORE, directory: await mkdtemp(besideBuild()), atOnce: AT_ONCE }),
    );
    const load: Load = rung === 'poll' ? EMULATED_LONGER : EMULATED_SHORT;
    await told(rung, 'truth-load', async () => [
      await judgeLoad({ rung, load, store: STORE, directory: await mkdtemp(besideBuild()) }),
    ]);
  }
}

async function told(
  rung: Rung,
  kind: TruthLine['kind'],
  work: () => Promise<readonly unknown[]>,
): Promise<void> {
  const startedMs = performance.now();
  const elapsedMs = () => Math.round(performance.now() - startedMs);
  try {
    for (const played of await work()) print({ kind, rung, played, elapsedMs: elapsedMs() });
  } catch (error) {
    print({ kind: 'truth-failed', rung, played: String(error), elapsedMs: elapsedMs() });
  }
}

function print(line: GuestLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// A runner that takes this file for a test of the host must not run it.
if (process.env['TRANSTRACER_GUEST'] === '1') {
  await main();
}
