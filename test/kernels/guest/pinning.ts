import { BEFORE, BETWEEN, PinDirectory, takeOver } from '../../support/pinned.ts';
import type { PinsLine, Rung } from './lines.ts';

/** Kills a helper that pins and has another one take over: nothing may be lost or told twice. */
export async function pinning(rung: Rung): Promise<PinsLine> {
  const pins = new PinDirectory(rung);
  try {
    const told = await takeOver(pins, ['--mode', 'stream', '--attach', rung]);
    const { unpinned, adopted, active, passive } = told;
    const all = BEFORE + BETWEEN;
    const isExact = active === all && passive === all && adopted;
    const detail = unpinned ?? (isExact ? '' : JSON.stringify(told));
    return { kind: 'pins', rung, pinned: unpinned === null, passed: isExact, detail };
  } catch (error) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { kind: 'pins', rung, pinned: false, passed: false, detail };
  } finally {
    pins.remove();
  }
}
