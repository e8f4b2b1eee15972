import type { HostAddressRecord } from '../flow/records.ts';

/** An address in a network namespace. */
export interface PlacedAddress {
  readonly address: string;
  /** `''` is the host's own, else `net:INUM`. */
  readonly netns: string;
  readonly hostLocal: boolean;
}

interface Ownership extends PlacedAddress {
  readonly firstMs: number;
  lastMs: number;
}

/** Ended ownerships that wait to be written; of more the oldest are given up. */
const MAX_ENDED = 20_000;

/** Which addresses this host owns, and since when; and those it gave up, until they are written. */
export class AddressBook {
  readonly #owned = new Map<string, Ownership>();
  #ended: Ownership[] = [];

  has(netns: string, address: string): boolean {
    return this.#owned.has(keyOf(netns, address));
  }

  /** These are there now. */
  seen(addresses: Iterable<PlacedAddress>, atMs: number): void {
    for (const placed of addresses) {
      const key = keyOf(placed.netns, placed.address);
      const known = this.#owned.get(key);
      if (known?.hostLocal === placed.hostLocal) {
        known.lastMs = Math.max(known.lastMs, atMs);
        continue;
      }
      if (known !== undefined) this.#end(key, known);
      this.#owned.set(key, { ...placed, firstMs: atMs, lastMs: atMs });
    }
  }

  /**
   * These are all there are now, in some namespaces: what else was known there has been given up.
   * @param covers the namespaces they are complete for
   */
  replace(
    addresses: readonly PlacedAddress[],
    atMs: number,
    covers: (netns: string) => boolean,
  ): void {
    this.seen(addresses, atMs);
    const present = new Set(addresses.map(({ netns, address }) => keyOf(netns, address)));
    for (const [key, ownership] of this.#owned) {
      if (covers(ownership.netns) && !present.has(key)) this.#end(key, ownership);
    }
  }

  records(): HostAddressRecord[] {
    return [...this.#ended, ...this.#owned.values()].map(({ firstMs, lastMs, ...placed }) => ({
      ...placed,
      firstSeen: new Date(firstMs),
      lastSeen: new Date(lastMs),
    }));
  }

  /** These were written, or will never be. */
  settled(records: readonly HostAddressRecord[]): void {
    const done = new Set(
      records.map(({ netns, address, firstSeen, lastSeen }) =>
        [keyOf(netns, address), firstSeen.getTime(), lastSeen.getTime()].join(' '),
      ),
    );
    this.#ended = this.#ended.filter(
      ({ netns, address, firstMs, lastMs }) =>
        !done.has([keyOf(netns, address), firstMs, lastMs].join(' ')),
    );
  }

  #end(key: string, ownership: Ownership): void {
    this.#owned.delete(key);
    this.#ended.push(ownership);
    if (this.#ended.length > MAX_ENDED) this.#ended.shift();
  }
}

function keyOf(netns: string, address: string): string {
  return `${netns} ${address}`;
}
