import type { ClientBase } from 'pg';
import { type BucketRange, earliestBucket, earliestSighting } from './buckets.ts';

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

/**
 * The halves, with totals, of the flows a condition selects. A bucket counts when it overlaps the
 * range; the bound on `bucket` alone says nothing more but lets the server skip partitions.
 * Connections: those opened in each bucket, and those open when the earliest bucket began.
 * $1 since, $2 until, $3 since minus the longest bucket.
 */
const halvesWhere = (condition: string): string => `
SELECT f.host_id, f.edge_id::text, f.side::text, f.process_id::text, f.scope,
       host(f.active_address) AS active_address, host(f.passive_address) AS passive_address,
       f.passive_port, f.found_by, f.first_seen, f.last_seen,
       (sum(h.opened) + (array_agg(h.open_at_start ORDER BY h.bucket, h.epoch))[1])::text AS connections,
       sum(h.failed_refused + h.failed_timed_out + h.failed_unreachable + h.failed_other)::text AS failed,
       ((array_agg(h.open_now ORDER BY h.bucket DESC, h.epoch DESC))[1])::text AS open,
       sum(h.bytes_to_passive)::text AS bytes_to_passive,
       sum(h.bytes_to_active)::text AS bytes_to_active
FROM flows f JOIN flow_history h ON h.host_id = f.host_id AND h.flow_id = f.flow_id
WHERE ${condition} AND h.bucket < $2 AND h.bucket > $3
  AND h.bucket + h.bucket_seconds * interval '1 second' > $1
GROUP BY f.host_id, f.flow_id`;

/** $4 edge ids. */
export const HALVES_OF_EDGES = halvesWhere('f.edge_id = ANY($4::bigint[])');

/** All flows that may have been in use; the buckets decide. $4: `last_seen` after. */
export const ALL_HALVES = halvesWhere('f.last_seen > $4');

interface HalfRow {
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
  connections: string;
  failed: string;
  open: string;
  bytes_to_passive: string;
  bytes_to_active: string;
}

/** Halves of the given edges that have a bucket in the range. */
export async function loadHalves(
  client: ClientBase,
  range: BucketRange,
  edgeIds: readonly string[],
): Promise<Half[]> {
  if (edgeIds.length === 0) return [];
  const { rows } = await client.query<HalfRow>(HALVES_OF_EDGES, [...rangeBounds(range), edgeIds]);
  return rows.map(toHalf);
}

/** Every half that has a bucket in the range. */
export async function loadAllHalves(client: ClientBase, range: BucketRange): Promise<Half[]> {
  const { rows } = await client.query<HalfRow>(ALL_HALVES, [
    ...rangeBounds(range),
    earliestSighting(range),
  ]);
  return rows.map(toHalf);
}

function rangeBounds(range: BucketRange): Date[] {
  return [range.since, range.until, earliestBucket(range)];
}

function toHalf(row: HalfRow): Half {
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
    connections: BigInt(row.connections),
    failed: BigInt(row.failed),
    open: BigInt(row.open),
    bytesToPassive: BigInt(row.bytes_to_passive),
    bytesToActive: BigInt(row.bytes_to_active),
  };
}
