import type { FlowCounts } from '../bpf-ts-loader/index.ts';
import type { FlowBucketRecord, Side } from './records.ts';

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

  constructor(startMs: number, openAtStart: number) {
    this.startMs = startMs;
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

  record(bucketMs: number): FlowBucketRecord {
    const { startMs, dirty: _dirty, empty: _empty, ...totals } = this;
    return {
      ...totals,
      bucketStart: new Date(startMs),
      bucketSeconds: Math.max(1, Math.round(bucketMs / 1000)),
    };
  }
}
