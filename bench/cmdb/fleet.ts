/**
 * A fleet whose dependencies follow from arithmetic, so that the server can generate it and the
 * bench knows every right answer. Fixed for ever: no randomness, the same numbers each time.
 *
 * Hosts come in cells of 20. Each has a process on each of ten tiers; one depends on ten of the next
 * tier in its cell, those of the last tier on 18 addresses without an agent and one of ten services
 * that the whole fleet shares. That makes 200 flows (halves of edges) a host.
 */

export const CELL = 20;
export const TIERS = 10;
export const FAN_OUT = 10;
export const EXTERNALS = 18;
export const EXTERNAL_ADDRESSES = 5_000;
export const SHARED = 10;
export const INNER_EDGES = (TIERS - 1) * FAN_OUT;
export const EDGES_PER_HOST = INNER_EDGES + EXTERNALS + 1;
export const FIRST_PORT = 8_000;
export const EXTERNAL_PORT = 443;
export const SHARED_PORT = 9_000;

export const DAYS = 7;
export const BUCKET_SECONDS = 300;
export const BUCKETS_PER_DAY = 86_400 / BUCKET_SECONDS;
export const START = new Date('2026-03-01T00:00:00Z');
/** The first bucket of the last day, on which edges change. */
export const CHANGE = (DAYS - 1) * BUCKETS_PER_DAY;

/** Every so many edges one appears, one goes away and one begins to fail. */
export const CHANGE_EVERY = 400;
export const APPEARS = 7;
export const GOES = 13;
export const FAILS = 21;

export interface Edge {
  readonly e: number;
  readonly activeHost: number;
  readonly activeTier: number;
  /** Null for an address without an agent. */
  readonly passiveHost: number | null;
  readonly passiveTier: number;
  readonly passiveAddress: string;
  readonly port: number;
}

/** What happened on an edge in some buckets. */
export interface Use {
  readonly connections: number;
  readonly failed: number;
}

export function timeOf(bucket: number): Date {
  return new Date(START.getTime() + bucket * BUCKET_SECONDS * 1_000);
}

export function hostName(host: number): string {
  return `host-${host}`;
}

/** `tier-0` to `tier-9`, and `shared`. */
export function processName(tier: number): string {
  return tier < TIERS ? `tier-${tier}` : 'shared';
}

export function addressOf(host: number): string {
  return dotted(10 * 2 ** 24 + host);
}

export function edgeOf(e: number): Edge {
  const activeHost = Math.floor(e / EDGES_PER_HOST);
  const x = e % EDGES_PER_HOST;
  if (x < INNER_EDGES) {
    const activeTier = Math.floor(x / FAN_OUT);
    const index = ((activeHost % CELL) * 3 + activeTier * 5 + (x % FAN_OUT)) % CELL;
    const passiveHost = activeHost - (activeHost % CELL) + index;
    const [passiveTier, passiveAddress] = [activeTier + 1, addressOf(passiveHost)];
    const port = FIRST_PORT + passiveTier;
    return { e, activeHost, activeTier, passiveHost, passiveTier, passiveAddress, port };
  }
  const last = { e, activeHost, activeTier: TIERS - 1 };
  if (x < INNER_EDGES + EXTERNALS) {
    const external = (activeHost * EXTERNALS + x - INNER_EDGES) % EXTERNAL_ADDRESSES;
    const passiveAddress = dotted(198 * 2 ** 24 + 18 * 2 ** 16 + external);
    return { ...last, passiveHost: null, passiveTier: 0, passiveAddress, port: EXTERNAL_PORT };
  }
  const passiveHost = Math.floor(activeHost / CELL) % SHARED;
  const passiveAddress = addressOf(passiveHost);
  return { ...last, passiveHost, passiveTier: TIERS, passiveAddress, port: SHARED_PORT };
}

/** About a tenth of all buckets, without a pattern. */
function isBusy(e: number, bucket: number): boolean {
  const mixed = (((e % 1_009) + 1) * ((bucket % 1_013) + 1)) % 1_021;
  return ((mixed * mixed + e) % 1_019) % 10 === 0;
}

function opened(e: number, bucket: number): number {
  return 1 + ((e + bucket) % 5);
}

/** What an edge was used for from one bucket to before another. */
export function useOf(e: number, from: number, to: number): Use {
  let [connections, failed] = [0, 0];
  const kind = e % CHANGE_EVERY;
  for (let bucket = from; bucket < to; bucket += 1) {
    const changed = bucket >= CHANGE;
    if (!isBusy(e, bucket) || (kind === APPEARS && !changed) || (kind === GOES && changed))
      continue;
    if (kind === FAILS && changed) failed += opened(e, bucket);
    else connections += opened(e, bucket);
  }
  return { connections, failed };
}

/** Dotted form of an IPv4 address. */
function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}
