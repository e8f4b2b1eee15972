/**
 * The one conversion from the kernel's boot clock (CLOCK_BOOTTIME), which all frames use, to time of
 * day. The helper reads both clocks at the same moment, at its start and at the end of each report;
 * so a step of the wall clock moves later events and never those already converted.
 */
export class BootClock {
  #offsetNs = 0n;

  /** Takes a pair of readings of the two clocks. */
  sync(bootNs: bigint, wallNs: bigint): void {
    this.#offsetNs = wallNs - bootNs;
  }

  /** Milliseconds since 1970. */
  wallMs(bootNs: bigint): number {
    return Number((bootNs + this.#offsetNs) / 1_000_000n);
  }
}
