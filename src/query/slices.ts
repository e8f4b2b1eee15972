import type { ClientBase } from 'pg';
import { type BucketRange, earliestBucket } from './buckets.ts';
import type { Span } from './coverage.ts';
import { groupBy } from './group-by.ts';
import type { FlowColumns, Half } from './halves.ts';
import type { TimeRange } from './range.ts';

/**
 * Halves of edges bucket by bucket, for edges whose addresses changed hands. $1 since, $2 until,
 * $3 since minus the longest bucket, $4 edge ids.
 */
export const BUCKETS_OF_EDGES = `
SELECT f.host_id, f.edge_id::text, f.side::text, f.process_id::text, f.scope,
       host(f.active_address) AS active_address, host(f.passive_address) AS passive_address,
       f.passive_port, f.found_by, f.first_seen, f.last_seen, h.bucket,
       max(h.bucket_seconds) AS bucket_seconds, sum(h.opened)::text AS opened,
       ((array_agg(h.open_at_start ORDER BY h.epoch))[1])::text AS open_at_start,
       sum(h.failed_refused + h.failed_timed_out + h.failed_unreachable + h.failed_other)::text AS failed,
       ((array_agg(h.open_now ORDER BY h.epoch DESC))[1])::text AS open,
       sum(h.bytes_to_passive)::text AS bytes_to_passive,
       sum(h.bytes_to_active)::text AS bytes_to_active
FROM flows f JOIN flow_history h ON h.host_id = f.host_id AND h.flow_id = f.flow_id
WHERE f.edge_id = ANY($4::bigint[]) AND h.bucket < $2 AND h.bucket > $3
  AND h.bucket + h.bucket_seconds * interval '1 second' > $1
GROUP BY f.host_id, f.flow_id, h.bucket
ORDER BY h.bucket`;

interface BucketRow extends FlowColumns {
  bucket: Date;
  bucket_seconds: number;
  opened: string;
  open_at_start: string;
  failed: string;
  open: string;
  bytes_to_passive: string;
  bytes_to_active: string;
}

/** What one half counted in one bucket. */
export interface Slice {
  /** Without totals of its own. */
  readonly row: BucketRow;
  readonly bucket: Span;
  /** The part of the bucket in which the flow was in use, as far as is known. */
  readonly use: Span;
}

/** The slices of the given edges, in order of time. */
export async function loadSlices(
  client: ClientBase,
  range: BucketRange,
  edgeIds: readonly string[],
): Promise<Map<string, Slice[]>> {
  if (edgeIds.length === 0) return new Map();
  const { rows } = await client.query<BucketRow>(BUCKETS_OF_EDGES, [
    range.since,
    range.until,
    earliestBucket(range),
    edgeIds,
  ]);
  return groupBy(
    rows.map((row) => toSlice(row, range)),
    ({ row }) => row.edge_id,
  );
}

function toSlice(row: BucketRow, { since, until }: TimeRange): Slice {
  const end = new Date(row.bucket.getTime() + row.bucket_seconds * 1000);
  const from = latest(row.bucket, row.first_seen, since);
  const lastUse = Number(row.open) > 0 ? end : earliest(end, row.last_seen);
  return {
    row,
    bucket: { from: row.bucket, to: end },
    use: { from, to: latest(from, earliest(lastUse, until)) },
  };
}

/** Halves of an edge in a time in which each of its addresses had one owner. */
export interface Era {
  readonly window: Span;
  readonly halves: readonly Half[];
}

/**
 * Splits the slices of an edge where an address changed hands, in order of time. A bucket in which
 * one did is an era of its own, unless the edge was in use only before it or only after.
 * @param changes milliseconds since 1970, ascending
 */
export function splitByOwner(slices: readonly Slice[], changes: readonly number[]): Era[] {
  const part = (at: Date): number => changes.filter((change) => change <= at.getTime()).length;
  const key = ({ from, to }: Span): string =>
    `${part(from)} ${part(new Date(Math.max(from.getTime(), to.getTime() - 1)))}`;
  const keyed = [...groupBy(slices, ({ bucket }) => key(bucket))].flatMap(([, group]) => {
    const home = key(useOf(group));
    return group.map((slice) => ({ slice, home }));
  });
  const firstOfFlow = new Map<string, Slice>();
  const lastOfFlow = new Map<string, Slice>();
  for (const slice of slices) {
    if (!firstOfFlow.has(flowOf(slice))) firstOfFlow.set(flowOf(slice), slice);
    lastOfFlow.set(flowOf(slice), slice);
  }
  const eras = [...groupBy(keyed, ({ home }) => home).values()].map((group) => {
    const own = group.map(({ slice }) => slice);
    const halves = [...groupBy(own, flowOf).values()].flatMap((it) => {
      const [first, last] = [it[0], it.at(-1)];
      if (first === undefined || last === undefined) return [];
      const isFirst = firstOfFlow.get(flowOf(first)) === first;
      return [toHalf(it, first, last, isFirst, lastOfFlow.get(flowOf(last)) === last)];
    });
    return { window: useOf(own), halves };
  });
  return eras.sort((a, b) => a.window.from.getTime() - b.window.from.getTime());
}

function flowOf({ row }: Slice): string {
  return `${row.host_id} ${row.side} ${row.process_id}`;
}

function useOf(slices: readonly Slice[]): Span {
  return {
    from: earliest(...slices.map(({ use }) => use.from)),
    to: latest(...slices.map(({ use }) => use.to)),
  };
}

function toHalf(
  slices: readonly Slice[],
  first: Slice,
  last: Slice,
  isFirst: boolean,
  isLast: boolean,
): Half {
  const sum = (pick: (row: BucketRow) => string): bigint =>
    slices.reduce((total, { row }) => total + BigInt(pick(row)), 0n);
  const openAtStart = BigInt(first.row.open_at_start);
  return {
    hostId: first.row.host_id,
    edgeId: first.row.edge_id,
    side: first.row.side,
    processId: first.row.process_id,
    scope: first.row.scope,
    activeAddress: first.row.active_address,
    passiveAddress: first.row.passive_address,
    passivePort: first.row.passive_port,
    foundBy: first.row.found_by,
    firstSeen: isFirst ? first.row.first_seen : latest(first.row.first_seen, first.bucket.from),
    lastSeen: isLast ? last.row.last_seen : earliest(last.row.last_seen, last.bucket.to),
    connections: sum((row) => row.opened) + openAtStart,
    carried: isFirst ? 0n : openAtStart,
    failed: sum((row) => row.failed),
    open: isLast ? BigInt(last.row.open) : 0n,
    bytesToPassive: sum((row) => row.bytes_to_passive),
    bytesToActive: sum((row) => row.bytes_to_active),
  };
}

function earliest(...dates: readonly Date[]): Date {
  return new Date(Math.min(...dates.map((date) => date.getTime())));
}

function latest(...dates: readonly Date[]): Date {
  return new Date(Math.max(...dates.map((date) => date.getTime())));
}
