import { setTimeout as delay } from 'node:timers/promises';

/** Time, to be replaced in tests. */
export interface Clock {
  now(): Date;
  /** Milliseconds of a clock that never jumps. */
  monotonicMs(): number;
  /** Resolves after `ms`, or as soon as `signal` is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, { signal });
    } catch (error) {
      if (!signal.aborted) {
        throw error;
      }
    }
  },
};
