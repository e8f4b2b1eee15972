import { release } from 'node:os';
import type { GuestLine, TruthLine } from '../kernels/guest/lines.ts';
import type { Rung } from './watch.ts';

/** Says which kernel the following lines are about. */
export function tellRelease(): void {
  print({ kind: 'release', release: release() });
}

/** Does work on a rung in a guest and prints what came of it, a line each, or that it failed. */
export async function tell(
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
