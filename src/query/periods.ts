import type { Span } from './coverage.ts';
import type { TimeRange } from './range.ts';

/** A slice of time in which something was in use. */
export interface Busy extends Span {
  /** A connection was opened in it, rather than just stayed open. */
  readonly opened: boolean;
}

/** The longest stretch of a range without use; null when there is none. */
export function longestSilence(busy: readonly Span[], range: TimeRange): Span | null {
  let longest = { from: range.since, to: range.since };
  let quietFrom = range.since;
  const consider = (to: Date): void => {
    if (to.getTime() - quietFrom.getTime() > longest.to.getTime() - longest.from.getTime()) {
      longest = { from: quietFrom, to };
    }
  };
  for (const { from, to } of busy.toSorted((a, b) => a.from.getTime() - b.from.getTime())) {
    consider(from);
    if (to > quietFrom) quietFrom = to;
  }
  consider(range.until);
  return longest.to > longest.from ? longest : null;
}

/** Fewer visits than this could be regular by chance. */
const MIN_VISITS = 4;
/** How far an interval may be off the median, as a share of it. */
const TOLERANCE = 0.1;
/** Buckets by which two intervals of one length can seem to differ. */
const BUCKET_ERROR = 2;
/** Shorter intervals, in buckets, can't be told from chance. */
const MIN_BUCKETS = 4;

/**
 * The time between visits of a caller that comes at regular intervals, to the precision of buckets.
 * Adjacent buckets are one visit.
 * @returns milliseconds, null when it isn't regular or came fewer than four times
 */
export function periodOf(busy: readonly Busy[]): number | null {
  const buckets = busy
    .filter((bucket) => bucket.opened)
    .toSorted((a, b) => a.from.getTime() - b.from.getTime());
  const starts: number[] = [];
  let [lastEnd, widest] = [Number.NEGATIVE_INFINITY, 0];
  for (const { from, to } of buckets) {
    if (from.getTime() > lastEnd) starts.push(from.getTime());
    lastEnd = Math.max(lastEnd, to.getTime());
    widest = Math.max(widest, to.getTime() - from.getTime());
  }
  if (starts.length < MIN_VISITS) return null;
  const intervals = starts.slice(1).map((start, index) => start - (starts[index] ?? start));
  const median = intervals.toSorted((a, b) => a - b)[Math.floor(intervals.length / 2)] ?? 0;
  if (median < MIN_BUCKETS * widest) return null;
  const allowed = Math.max(BUCKET_ERROR * widest, median * TOLERANCE);
  if (!intervals.every((interval) => Math.abs(interval - median) <= allowed)) return null;
  const [first = 0, last = 0] = [starts[0], starts.at(-1)];
  return Math.round((last - first) / intervals.length);
}
