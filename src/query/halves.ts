import type { ClientBase } from 'pg';
import { type BucketRange, earliestBucket, earliestSighting } from './buckets.ts';
import { groupBy } from './group-by.ts';
import { slotsOf } from './slots.ts';

/** What one half counted in a range. */
export interface Totals {
  readonly connections: bigint;
  /** Of the connections: those that an earlier slice of the range counts as well. */
  readonly carried?: bigint;
  readonly failed: bigint;
  readonly open: bigint;
  readonly bytesToPassive: bigint;
  readonly bytesToActive: bigint;
}

/** One host's half of an edge, with its totals in a range. Ids are decimal strings. */
export interface Half extends Totals {
  readonly hostId: string;
  readonly edgeId: string;
  readonly side: 'A' | 'P';
  readonly processId: string;
  readonly scope: string;
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly passivePort: number;
  /** Bits as stored: 1 stream, 2 snapshot, 4 destroy. */
  readonly foundBy: number;
  readonly firstSeen: Date;
  readonly lastSeen: Date;
}

const HALF_COLUMNS = `f.host_id, f.flow_id::text, f.edge_id::text, f.side::text, f.process_id::text, f.scope,
       host(f.active_address) AS active_address, host(f.passive_address) AS passive_address,
       f.passive_port, f.found_by, f.first_seen, f.last_seen`;

/**
 * Connections: those opened in each bucket, and those open when the earliest bucket began. Both arrays
 * have one order, so that rows are sorted once.
 */
const TOTAL_COLUMNS = `(sum(h.opened) + (array_agg(h.open_at_start ORDER BY h.bucket, h.epoch))[1])::text AS connections,
       sum(h.failed_refused + h.failed_timed_out + h.failed_unreachable + h.failed_other)::text AS failed,
       ((array_agg(h.open_now ORDER BY h.bucket, h.epoch))[count(*)::integer])::text AS open,
       sum(h.bytes_to_passive)::text AS bytes_to_passive,
       sum(h.bytes_to_active)::text AS bytes_to_active`;

/**
 * A bucket counts when it overlaps the range; the bound on `bucket` alone says nothing more but lets
 * the server skip partitions. $1 since, $2 until, $3 since minus the longest bucket.
 */
const IN_RANGE = `h.bucket < $2 AND h.bucket > $3
  AND h.bucket + h.bucket_seconds * interval '1 second' > $1`;

/** All flows that may have been in use; the buckets decide. $4: `last_seen` after. */
export const ALL_HALVES = `
SELECT ${HALF_COLUMNS}, ${TOTAL_COLUMNS}
FROM flows f JOIN flow_history h ON h.host_id = f.host_id AND h.flow_id = f.flow_id
WHERE f.last_seen > $4 AND ${IN_RANGE}
GROUP BY f.host_id, f.flow_id`;

/**
 * Halves of edges ($1) without totals. `last_slot`: the last five minutes, counted from 1970, marked
 * in the range, if a bucket with a connection certainly lies within it; else null. A row for each day
 * of the range: $2 days, $3 slots that lie inside, $4 slots that are touched.
 */
export const HALVES_OF_EDGES = `
SELECT ${HALF_COLUMNS},
  max(CASE WHEN d.used & m.inside <> B'0'::bit(288)
    THEN (d.day - date '1970-01-01') * 288 + 288 - strpos(reverse((d.used & m.touched)::text), '1') END) AS last_slot
FROM flows f
LEFT JOIN flow_days d ON d.host_id = f.host_id AND d.flow_id = f.flow_id AND d.day = ANY($2::date[])
LEFT JOIN unnest($2::date[], $3::bit(288)[], $4::bit(288)[]) AS m (day, inside, touched) ON m.day = d.day
WHERE f.edge_id = ANY($1::bigint[])
GROUP BY f.host_id, f.flow_id`;

/** Totals of flows ($4 hosts, $5 flows) from buckets after a time each ($6). */
export const TOTALS_OF_FLOWS = `
SELECT h.host_id, h.flow_id::text, ${TOTAL_COLUMNS}
FROM unnest($4::uuid[], $5::bigint[], $6::timestamptz[]) AS u (host_id, flow_id, after_bucket)
JOIN flow_history h ON h.host_id = u.host_id AND h.flow_id = u.flow_id AND h.bucket > u.after_bucket
WHERE ${IN_RANGE}
GROUP BY h.host_id, h.flow_id`;

/** What a row tells of the flow itself. */
export interface FlowColumns {
  host_id: string;
  edge_id: string;
  side: 'A' | 'P';
  process_id: string;
  scope: string;
  active_address: string;
  passive_address: string;
  passive_port: number;
  found_by: number;
  first_seen: Date;
  last_seen: Date;
}

interface FlowRow extends FlowColumns {
  flow_id: string;
}

interface EdgeFlowRow extends FlowRow {
  last_slot: number | null;
}

interface TotalsRow {
  host_id: string;
  flow_id: string;
  connections: string;
  failed: string;
  open: string;
  bytes_to_passive: string;
  bytes_to_active: string;
}

/**
 * Halves of the given edges that have a bucket in the range. Where the active process's counts stand
 * for the edge, the passive half has only `open`: reading its history would double the work.
 */
export async function loadHalves(
  client: ClientBase,
  range: BucketRange,
  edgeIds: readonly string[],
): Promise<Half[]> {
  if (edgeIds.length === 0) return [];
  const days = slotsOf(range);
  const { rows } = await client.query<EdgeFlowRow>(HALVES_OF_EDGES, [
    edgeIds,
    days.map(({ day }) => day),
    days.map(({ inside }) => inside),
    days.map(({ touched }) => touched),
  ]);
  const edges = groupBy(rows, (row) => row.edge_id);
  const spare = new Set([...edges.values()].flatMap(spareHalf));
  const earliest = earliestBucket(range);
  const totals = await loadTotals(client, range, rows, (row) =>
    spare.has(row) ? bucketBefore(row, range) : earliest,
  );
  const halves = (wanted: readonly FlowRow[]): Half[] =>
    wanted.flatMap((row) => {
      const own = totals.get(flowKey(row));
      return own === undefined ? [] : [toHalf(row, own)];
    });
  const needed = [...edges.values()]
    .filter((flows) => !halves(flows).some((half) => half.side === 'A' && !isFailing(half)))
    .flatMap((flows) => flows.filter((row) => spare.has(row)));
  const more = await loadTotals(client, range, needed, () => earliest);
  for (const [key, own] of more) totals.set(key, own);
  return halves(rows);
}

/** The passive half of an edge, if it is the only one and an active one was in use for certain. */
function spareHalf(flows: readonly EdgeFlowRow[]): EdgeFlowRow[] {
  const passives = flows.filter(({ side }) => side === 'P');
  const [passive] = passives;
  if (passive === undefined || passives.length > 1 || passive.last_slot === null) return [];
  return flows.some((row) => row.side === 'A' && row.last_slot !== null) ? [passive] : [];
}

const SLOT_MS = 300_000;

/** A time before the latest bucket in which a flow was in use. */
function bucketBefore({ last_slot: slot }: EdgeFlowRow, range: BucketRange): Date {
  return new Date((slot ?? 0) * SLOT_MS - range.longestBucketMs);
}

async function loadTotals(
  client: ClientBase,
  range: BucketRange,
  flows: readonly EdgeFlowRow[],
  after: (flow: EdgeFlowRow) => Date,
): Promise<Map<string, TotalsRow>> {
  if (flows.length === 0) return new Map();
  const { rows } = await client.query<TotalsRow>(TOTALS_OF_FLOWS, [
    ...rangeBounds(range),
    flows.map((flow) => flow.host_id),
    flows.map((flow) => flow.flow_id),
    flows.map((flow) => after(flow).toISOString()),
  ]);
  return new Map(rows.map((row) => [flowKey(row), row]));
}

function flowKey(row: { readonly host_id: string; readonly flow_id: string }): string {
  return `${row.host_id} ${row.flow_id}`;
}

/** Every half that has a bucket in the range. */
export async function loadAllHalves(client: ClientBase, range: BucketRange): Promise<Half[]> {
  const { rows } = await client.query<FlowRow & TotalsRow>(ALL_HALVES, [
    ...rangeBounds(range),
    earliestSighting(range),
  ]);
  return rows.map((row) => toHalf(row, row));
}

function rangeBounds(range: BucketRange): Date[] {
  return [range.since, range.until, earliestBucket(range)];
}

function toHalf(row: FlowRow, totals: TotalsRow): Half {
  return {
    hostId: row.host_id,
    edgeId: row.edge_id,
    side: row.side,
    processId: row.process_id,
    scope: row.scope,
    activeAddress: row.active_address,
    passiveAddress: row.passive_address,
    passivePort: row.passive_port,
    foundBy: row.found_by,
    firstSeen: row.first_seen,
    lastSeen: row.last_seen,
    connections: BigInt(totals.connections),
    failed: BigInt(totals.failed),
    open: BigInt(totals.open),
    bytesToPassive: BigInt(totals.bytes_to_passive),
    bytesToActive: BigInt(totals.bytes_to_active),
  };
}

/** True for an active half that never got through. */
export function isFailing(half: Half): boolean {
  return half.connections === 0n && half.open === 0n && half.failed > 0n;
}
