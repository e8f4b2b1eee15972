export interface BackoffOptions {
  /** Upper bound of the first delay; each further failure doubles it. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** A helper that was up this long counts as healthy: the next failure is a first one again. */
  readonly healthyAfterMs: number;
}

export const DEFAULT_BACKOFF: BackoffOptions = {
  firstDelayMs: 200,
  maxDelayMs: 30_000,
  healthyAfterMs: 60_000,
};

/**
 * Delay before the next attempt: exponential, capped, and between half and all of that by chance,
 * so that many hosts hit by one cause don't come back in step.
 * @param failures in a row, the last one included: at least 1
 * @param random in [0, 1)
 */
export function backoffDelayMs(failures: number, options: BackoffOptions, random: number): number {
  // 2^30 times any delay is past any cap; more could overflow.
  const doublings = Math.min(failures - 1, 30);
  const bound = Math.min(options.firstDelayMs * 2 ** doublings, options.maxDelayMs);
  return Math.round(bound * (0.5 + random / 2));
}
