/** A CMDB that comes back is noticed within this time. */
const MAX_DELAY_MS = 30_000;

/**
 * How long to wait between attempts while the CMDB is away: twice as long each time, and by chance up
 * to half as long, so that the agents of a fleet don't come all at once when it is back.
 */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** @returns milliseconds to wait until the next attempt */
  failed(firstMs: number): number {
    const delayMs = Math.min(MAX_DELAY_MS, firstMs * 2 ** Math.min(this.#failures, 20));
    this.#failures += 1;
    return delayMs * (0.5 + 0.5 * this.#random());
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
