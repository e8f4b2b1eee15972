import type { FlowCounts } from '../bpf-ts-loader/index.ts';
import type { FlowBucketRecord, Side } from './records.ts';

/** A Date of milliseconds since 1970. */
export type DateOf = (ms: number) => Date;

/** One Date for all in a row that are the same: most buckets of a flush begin at once. */
export function sharedDates(): DateOf {
  let latest = new Date(0);
  return (ms) => {
    if (latest.getTime() !== ms) latest = new Date(ms);
    return latest;
  };
}

/** Running totals of one flow within one time slice. */
export class Bucket {
  readonly startMs: number;
  openAtStart: number;
  opened = 0;
  openMax: number;
  openNow: number;
  failedRefused = 0;
  failedTimedOut = 0;
  failedUnreachable = 0;
  failedOther = 0;
  bytesToPassive = 0n;
  bytesToActive = 0n;
  retransmits = 0;
  /** Nothing happened in it and nothing was open: no row says so. */
  empty: boolean;
  /** Not yet (or not fully) accepted by the CMDB. */
  dirty: boolean;
  /** The CMDB has, or may have, a row of it with earlier totals. */
  mayHaveRow = false;
  /** null: the table's. */
  lengthMs: number | null = null;
  /** null: the agent's; another one since the clock was set back. */
  readonly epoch: number | null;

  constructor(startMs: number, openAtStart: number, epoch: number | null = null) {
    this.startMs = startMs;
    this.epoch = epoch;
    this.openAtStart = openAtStart;
    this.openMax = openAtStart;
    this.openNow = openAtStart;
    this.empty = openAtStart === 0;
    this.dirty = !this.empty;
  }

  /**
   * @param carried how many of the connections found open were known before and are not new
   * @param carriedOver of those, how many were known before this bucket began
   */
  add(counts: FlowCounts, side: Side, carried: number, carriedOver: number): void {
    const appeared = counts.opened + counts.found;
    this.opened += appeared - carried;
    this.openAtStart += carriedOver;
    // Between two reports only the ends are known: this is the least that were open at once.
    this.openNow = Math.max(0, this.openNow + appeared - counts.closed);
    this.openMax = Math.max(this.openMax, this.openNow, appeared > 0 ? 1 : 0);
    this.failedRefused += counts.refused;
    this.failedTimedOut += counts.timedOut;
    this.failedUnreachable += counts.unreachable;
    this.failedOther += counts.failedOther;
    const [toPassive, toActive] =
      side === 'active'
        ? [counts.bytesSent, counts.bytesReceived]
        : [counts.bytesReceived, counts.bytesSent];
    this.bytesToPassive += toPassive;
    this.bytesToActive += toActive;
    this.retransmits += counts.retransmits;
    this.empty = false;
    this.dirty = true;
  }

  /** This bucket and a later one as one, which begins where this one does. */
  followedBy(later: Bucket, bucketMs: number): Bucket {
    const both = new Bucket(this.startMs, this.openAtStart, this.epoch);
    both.lengthMs = later.startMs + (later.lengthMs ?? bucketMs) - this.startMs;
    // Those of the later one that were not open at the end of this one were known before both.
    both.openAtStart += Math.max(0, later.openAtStart - this.openNow);
    both.opened = this.opened + later.opened;
    both.openMax = Math.max(this.openMax, later.openMax);
    both.openNow = later.openNow;
    both.failedRefused = this.failedRefused + later.failedRefused;
    both.failedTimedOut = this.failedTimedOut + later.failedTimedOut;
    both.failedUnreachable = this.failedUnreachable + later.failedUnreachable;
    both.failedOther = this.failedOther + later.failedOther;
    both.bytesToPassive = this.bytesToPassive + later.bytesToPassive;
    both.bytesToActive = this.bytesToActive + later.bytesToActive;
    both.retransmits = this.retransmits + later.retransmits;
    both.empty = this.empty && later.empty;
    both.dirty = true;
    return both;
  }

  /** So many were open when it began, counted elsewhere. */
  carry(open: number): void {
    this.openAtStart += open;
    this.openNow += open;
    this.openMax = Math.max(this.openMax, this.openNow);
    this.empty = false;
    this.dirty = true;
  }

  /** Field by field: what is spread becomes a dictionary, slow to read and four times as large. */
  record(bucketMs: number, dateOf: DateOf = (ms) => new Date(ms)): FlowBucketRecord {
    const record: FlowBucketRecord = {
      bucketStart: dateOf(this.startMs),
      bucketSeconds: Math.max(1, Math.round((this.lengthMs ?? bucketMs) / 1000)),
      opened: this.opened,
      openAtStart: this.openAtStart,
      openMax: this.openMax,
      openNow: this.openNow,
      failedRefused: this.failedRefused,
      failedTimedOut: this.failedTimedOut,
      failedUnreachable: this.failedUnreachable,
      failedOther: this.failedOther,
      bytesToPassive: this.bytesToPassive,
      bytesToActive: this.bytesToActive,
      retransmits: this.retransmits,
    };
    return this.epoch === null ? record : { ...record, epoch: this.epoch };
  }
}
