import type { ClientBase } from 'pg';
import type { TimeRange } from './range.ts';

/**
 * Longest bucket in the days from $1 to $2. It is a day at most, and lies within a day, so one that
 * reaches into a range lies in a day of the range.
 */
export const LONGEST_BUCKET = `
SELECT coalesce(max(seconds), 0) AS seconds FROM bucket_lengths
WHERE day BETWEEN $1::date AND $2::date`;

/** A range, and how far back a bucket that reaches into it may have begun. */
export interface BucketRange extends TimeRange {
  readonly longestBucketMs: number;
}

/** Looks up how long buckets are. */
export async function withBuckets(client: ClientBase, range: TimeRange): Promise<BucketRange> {
  const days = [range.since, range.until].map((time) => time.toISOString().slice(0, 10));
  const { rows } = await client.query<{ seconds: number }>(LONGEST_BUCKET, days);
  return { ...range, longestBucketMs: (rows[0]?.seconds ?? 0) * 1_000 };
}

/** No bucket that began at or before this time reaches into the range. */
export function earliestBucket({ since, longestBucketMs }: BucketRange): Date {
  return new Date(since.getTime() - longestBucketMs);
}

/**
 * No flow that was last seen at or before this time has a bucket in the range: what is reported late
 * may be counted one bucket after it was seen.
 */
export function earliestSighting({ since, longestBucketMs }: BucketRange): Date {
  return new Date(since.getTime() - 2 * longestBucketMs);
}
