/**
 * The program that runs in a guest, as its only one: probes what the kernel can do, then traces
 * real connections with the agent. Prints {@link GuestLine}s; judging them is left to the host.
 */
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { endToEnd } from './end-to-end.ts';
import { CONDITIONS, type GuestLine, RUNGS } from './lines.ts';
import { pinning } from './pinning.ts';
import { probe } from './probe.ts';

async function main(): Promise<void> {
  print({ kind: 'release', release: release() });
  for (const condition of CONDITIONS) {
    print(await probe(condition));
  }
  for (const rung of RUNGS) {
    if (rung !== 'poll') print(await pinning(rung));
  }
  if (existsSync('bin/ttracerd')) {
    for (const rung of RUNGS) {
      print(await endToEnd(rung));
    }
  }
}

function print(line: GuestLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// The tests of this folder run on the host; a runner that takes this file for one must not.
if (process.env['TRANSTRACER_GUEST'] === '1') {
  await main();
}
