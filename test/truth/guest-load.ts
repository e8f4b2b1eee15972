/**
 * What runs in a guest whose time is counted in instructions: the load on every rung, as large as on
 * this machine. Prints {@link TruthLine}s.
 */
import { mkdtemp } from 'node:fs/promises';
import { tell, tellRelease } from './guest-lines.ts';
import { besideBuild, judgeLoad } from './load.ts';
import { LONGER, SHORT } from './loads.ts';
import { RUNGS } from './watch.ts';

const STORE = { kind: 'jsonl' } as const;

async function main(): Promise<void> {
  tellRelease();
  for (const rung of RUNGS) {
    const load = rung === 'poll' ? LONGER : SHORT;
    await tell(rung, 'truth-load', async () => [
      await judgeLoad({ rung, load, store: STORE, directory: await mkdtemp(besideBuild()) }),
    ]);
  }
}

// A runner that takes this file for a test of the host must not run it.
if (process.env['TRANSTRACER_GUEST'] === '1') {
  await main();
}
