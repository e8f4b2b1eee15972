import type { FlowCounts } from '../bpf-ts-loader/index.ts';
import { coarsened, type WaitingFlow } from './backlog.ts';
import { Bucket, type DateOf } from './bucket.ts';
import type { Edge } from './ids.ts';
import type { FlowRecord, FoundBy, Side } from './records.ts';

export interface FlowIdentity extends Edge {
  readonly flowId: string;
  readonly edgeId: string;
  readonly side: Side;
  readonly processId: string;
}

/**
 * A clock that was stepped, or a host that slept: more buckets than that in which nothing could be
 * seen are not written one by one.
 */
const MAX_QUIET_BUCKETS = 1_000;

const FOUND_BY = ['stream', 'snapshot', 'destroy'] as const satisfies readonly FoundBy[];
/** Every set of them, by its bits. */
const FOUND_BY_SETS: readonly (readonly FoundBy[])[] = Array.from({ length: 8 }, (_, bits) =>
  FOUND_BY.filter((_means, index) => bits & (1 << index)),
);

/** One host's half of an edge, with the buckets that the CMDB does not have yet. */
export class Flow implements WaitingFlow {
  readonly identity: FlowIdentity;
  firstSeenMs: number;
  lastSeenMs: number;
  /** As a set of {@link FOUND_BY_SETS}: a host has many flows. */
  #foundBy = 0;
  /** Past buckets that wait to be written, oldest first; then the current one. */
  #buckets: Bucket[];
  /** Connections open when watching was interrupted, whose fate is not known yet. */
  #suspended = 0;
  /** How many of them the current bucket counts already. */
  #suspendedHere = 0;
  /** Totals since the agent's start, for those who read along. */
  opened = 0;
  #refused = 0;
  #timedOut = 0;
  #unreachable = 0;
  #failedOther = 0;
  bytesToPassive = 0n;
  bytesToActive = 0n;

  /** Of its buckets from now on; null: the agent's. */
  #epoch: number | null;

  constructor(
    identity: FlowIdentity,
    atMs: number,
    bucketStartMs: number,
    epoch: number | null = null,
  ) {
    this.identity = identity;
    this.firstSeenMs = atMs;
    this.lastSeenMs = atMs;
    this.#epoch = epoch;
    this.#buckets = [new Bucket(bucketStartMs, 0, epoch)];
  }

  get open(): number {
    return this.#current().openNow;
  }

  get failed(): number {
    return this.#refused + this.#timedOut + this.#unreachable + this.#failedOther;
  }

  /** The same by reason. */
  get failures() {
    return {
      refused: this.#refused,
      timedOut: this.#timedOut,
      unreachable: this.#unreachable,
      other: this.#failedOther,
    };
  }

  /** Open connections, those whose fate is not known included: what outlives an interruption. */
  get openOrSuspended(): number {
    return this.open + this.#suspended;
  }

  get foundBy(): readonly FoundBy[] {
    return FOUND_BY_SETS[this.#foundBy] ?? [];
  }

  get isDirty(): boolean {
    return this.#buckets.some((bucket) => bucket.dirty);
  }

  /** Nothing to write, nothing open, and its last bucket is over: the table may forget it. */
  isIdle(currentBucketMs: number): boolean {
    return this.openOrSuspended === 0 && !this.isDirty && this.#current().startMs < currentBucketMs;
  }

  /** Adds what a report tells; the roll to the current bucket must have been made. */
  add(counts: FlowCounts, firstMs: number, lastMs: number, foundBy: readonly FoundBy[]): void {
    const carried = Math.min(counts.found, this.#suspended);
    const carriedHere = Math.min(carried, this.#suspendedHere);
    this.#suspended -= carried;
    this.#suspendedHere -= carriedHere;
    this.#current().add(counts, this.identity.side, carried, carried - carriedHere);
    for (const means of foundBy) this.#foundBy |= 1 << FOUND_BY.indexOf(means);
    this.firstSeenMs = Math.min(this.firstSeenMs, firstMs);
    this.lastSeenMs = Math.max(this.lastSeenMs, lastMs);
    this.opened += counts.opened + counts.found - carried;
    this.#refused += counts.refused;
    this.#timedOut += counts.timedOut;
    this.#unreachable += counts.unreachable;
    this.#failedOther += counts.failedOther;
    const sent = this.identity.side === 'active';
    this.bytesToPassive += sent ? counts.bytesSent : counts.bytesReceived;
    this.bytesToActive += sent ? counts.bytesReceived : counts.bytesSent;
  }

  /**
   * Begins the bucket that `nowMs` is in. Every bucket in which a connection was open has a row, also
   * one in which nothing happened.
   */
  roll(nowMs: number, bucketMs: number): void {
    const nowStartMs = Math.floor(nowMs / bucketMs) * bucketMs;
    const { startMs } = this.#current();
    if (startMs >= nowStartMs) return;
    const { open } = this;
    const isQuiet = open > 0 && nowStartMs - startMs <= MAX_QUIET_BUCKETS * bucketMs;
    const begun: Bucket[] = [];
    for (let at = isQuiet ? startMs + bucketMs : nowStartMs; at <= nowStartMs; at += bucketMs) {
      begun.push(new Bucket(at, open, this.#epoch));
    }
    this.#buckets = [...this.#buckets.filter((bucket) => bucket.dirty), ...begun];
    this.#suspendedHere = 0;
    if (open > 0) this.lastSeenMs = Math.max(this.lastSeenMs, nowStartMs);
  }

  /**
   * The clock was set back: goes on in the bucket that `nowMs` is in. That one may have a row already,
   * so those to come are another epoch's.
   */
  rewind(nowMs: number, bucketMs: number, epoch: number): void {
    const startMs = Math.floor(nowMs / bucketMs) * bucketMs;
    const { open } = this;
    this.#epoch = epoch;
    this.#buckets = [
      ...this.#buckets.filter((bucket) => bucket.dirty),
      new Bucket(startMs, open, epoch),
    ];
    this.#suspendedHere = 0;
  }

  get waiting(): number {
    return this.#buckets.reduce((count, bucket) => count + (bucket.dirty ? 1 : 0), 0);
  }

  get pastWaiting(): readonly Bucket[] {
    return this.#buckets.slice(0, -1).filter((bucket) => bucket.dirty);
  }

  coarsen(beforeMs: number, slotMs: number, bucketMs: number): number {
    const before = this.#buckets.length;
    const past = this.#buckets.slice(0, -1).filter((bucket) => bucket.dirty);
    const isOver = ({ startMs, lengthMs }: Bucket) => startMs + (lengthMs ?? bucketMs) <= beforeMs;
    const merged = coarsened(past.filter(isOver), { slotMs, bucketMs });
    this.#buckets = [...merged, ...past.filter((each) => !isOver(each)), this.#current()];
    return before - this.#buckets.length;
  }

  dropBefore(startMs: number): number {
    const past = this.pastWaiting;
    const kept = past.filter((bucket) => bucket.startMs >= startMs);
    this.#buckets = [...kept, this.#current()];
    return past.length - kept.length;
  }

  /** Watching was interrupted: what was open may have closed unseen. */
  suspend(): void {
    const bucket = this.#current();
    if (bucket.openNow === 0) return;
    this.#suspended += bucket.openNow;
    this.#suspendedHere += bucket.openNow;
    bucket.openNow = 0;
    bucket.dirty = true;
  }

  /** Takes over connections that an earlier agent knew to be open; its own row counts them. */
  restore(open: number): void {
    this.#suspended += open;
  }

  /** Takes over connections that are open: their closing will be told, their opening was. */
  carry(open: number): void {
    if (open > 0) this.#current().carry(open);
  }

  /** A snapshot has shown all there is: what it did not find again has closed. */
  settle(): void {
    this.#suspended = 0;
    this.#suspendedHere = 0;
  }

  record(bucketMs: number, dateOf?: DateOf): FlowRecord {
    const { identity } = this;
    return {
      flowId: identity.flowId,
      edgeId: identity.edgeId,
      side: identity.side,
      processId: identity.processId,
      scope: identity.scope,
      activeAddress: identity.activeAddress,
      passiveAddress: identity.passiveAddress,
      passivePort: identity.passivePort,
      firstSeen: new Date(this.firstSeenMs),
      lastSeen: new Date(this.lastSeenMs),
      foundBy: this.foundBy,
      buckets: this.#dirty().map((bucket) => bucket.record(bucketMs, dateOf)),
    };
  }

  /** Marks everything as to be written now; {@link Flow.markDirty} undoes it if the write fails. */
  takeDirty(): Bucket[] {
    const dirty = this.#dirty();
    for (const bucket of dirty) bucket.dirty = false;
    return dirty;
  }

  /** Some buckets were not written after all; those no longer kept are taken back. */
  markDirty(buckets: readonly Bucket[]): void {
    for (const bucket of buckets) bucket.dirty = true;
    const lost = buckets.filter((bucket) => !this.#buckets.includes(bucket));
    this.#buckets = [...lost, ...this.#buckets].sort(
      (a, b) => (a.epoch ?? 0) - (b.epoch ?? 0) || a.startMs - b.startMs,
    );
  }

  /** Everything kept is to be written again. */
  markAll(): void {
    for (const bucket of this.#buckets) bucket.dirty = !bucket.empty;
  }

  /** An array of just that size, since a flush keeps one of each flow. */
  #dirty(): Bucket[] {
    const [only] = this.#buckets;
    if (only !== undefined && this.#buckets.length === 1) return only.dirty ? [only] : [];
    return this.#buckets.filter((bucket) => bucket.dirty);
  }

  #current(): Bucket {
    const bucket = this.#buckets.at(-1);
    if (bucket === undefined) throw new Error('a flow always has a bucket');
    return bucket;
  }
}
