/**
 * What runs in a guest of the kernel matrix: the table of cases on every rung, judged by what the agent
 * prints. Prints {@link TruthLine}s; what they should say is left to the host.
 */
import { mkdtemp } from 'node:fs/promises';
import { tell, tellRelease } from './guest-lines.ts';
import { besideBuild } from './load.ts';
import { play } from './play.ts';
import { RUNGS } from './watch.ts';

/** Emulated processors: what runs at once only waits for one another. */
const AT_ONCE = 3;
const STORE = { kind: 'jsonl' } as const;

async function main(): Promise<void> {
  tellRelease();
  // A case that failed half-way has ended the actor that it was going to wait for; the case tells.
  process.on('unhandledRejection', () => undefined);
  for (const rung of RUNGS) {
    await tell(rung, 'truth', async () =>
      play({ rung, store: STORE, directory: await mkdtemp(besideBuild()), atOnce: AT_ONCE }),
    );
  }
}

// A runner that takes this file for a test of the host must not run it.
if (process.env['TRANSTRACER_GUEST'] === '1') {
  await main();
}
