import type { BucketRange } from './buckets.ts';

const DAY_MS = 86_400_000;
const SLOT_MS = 300_000;
const SLOTS = DAY_MS / SLOT_MS;

/** A range as `flow_days` sees it: for each UTC day the five minutes that belong to it, as bits. */
export interface DaySlots {
  /** `YYYY-MM-DD` */
  readonly day: string;
  /** A bucket that overlaps one of these lies within the range. */
  readonly inside: string;
  /** Every bucket of the range overlaps one of these. */
  readonly touched: string;
}

/**
 * The days of a range. Near its ends a marked slot may be of a bucket that reaches beyond, and what
 * is reported late is counted one bucket late: only history tells there.
 */
export function slotsOf(range: BucketRange): DaySlots[] {
  const [since, until] = [range.since.getTime(), range.until.getTime()];
  const margin = Math.max(range.longestBucketMs, SLOT_MS);
  const inside = { from: slotAfter(since + margin), to: Math.floor((until - margin) / SLOT_MS) };
  const touched = { from: Math.floor(since / SLOT_MS), to: slotAfter(until) };
  const days: DaySlots[] = [];
  for (let day = Math.floor(since / DAY_MS); day * DAY_MS < until; day += 1) {
    days.push({
      day: new Date(day * DAY_MS).toISOString().slice(0, 10),
      inside: bits(inside.from - day * SLOTS, inside.to - day * SLOTS),
      touched: bits(touched.from - day * SLOTS, touched.to - day * SLOTS),
    });
  }
  return days;
}

function slotAfter(ms: number): number {
  return Math.ceil(ms / SLOT_MS);
}

/** Ones from a slot to before another, either of which may lie outside of the day. */
function bits(from: number, to: number): string {
  const first = Math.min(Math.max(from, 0), SLOTS);
  const last = Math.max(Math.min(to, SLOTS), first);
  return '0'.repeat(first) + '1'.repeat(last - first) + '0'.repeat(SLOTS - last);
}
