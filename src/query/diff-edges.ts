import type { ClientBase } from 'pg';
import { type BucketRange, earliestSighting } from './buckets.ts';
import {
  DIFFERING_FLOWS,
  EDGES_OF_FLOWS,
  EDGES_TO_PORTS,
  PASSIVE_ENDS,
} from './diff-statements.ts';
import { groupBy } from './group-by.ts';
import { scopeHost } from './node-ref.ts';
import type { Link } from './pairing.ts';
import { slotsOf } from './slots.ts';

/** Ids of all edges that may not have been the same in two ranges. */
export async function differingEdges(
  client: ClientBase,
  before: BucketRange,
  after: BucketRange,
): Promise<string[]> {
  const days = [
    ...slotsOf(before).map((slots) => ({ ...slots, shift: 0 })),
    ...slotsOf(after).map((slots) => ({ ...slots, shift: 4 })),
  ];
  const flows = await client.query<{ host_id: string; flow_id: string }>(DIFFERING_FLOWS, [
    days.map(({ day }) => day),
    days.map(({ shift }) => shift),
    days.map(({ inside }) => inside),
    days.map(({ touched }) => touched),
  ]);
  if (flows.rows.length === 0) return [];
  const { rows } = await client.query<{ edge_id: string }>(EDGES_OF_FLOWS, [
    flows.rows.map((row) => row.host_id),
    flows.rows.map((row) => row.flow_id),
  ]);
  return rows.map((row) => row.edge_id);
}

/**
 * Ids of the edges on which the ends of the given links may have met by other addresses. A node that
 * is a mere address has no others.
 */
export async function otherEdges(
  client: ClientBase,
  ranges: readonly BucketRange[],
  links: readonly Link[],
): Promise<string[]> {
  const wanted = links.filter((link) => link.passive.kind === 'process');
  if (wanted.length === 0) return [];
  const since = new Date(Math.min(...ranges.map((range) => earliestSighting(range).getTime())));
  const { rows } = await client.query<{ edge_id: string }>(EDGES_TO_PORTS, [
    since,
    ...activeColumns(wanted),
  ]);
  const edgeIds = rows.map((row) => row.edge_id);
  const ends = await client.query<{ edge_id: string; host_id: string; process_id: string }>(
    PASSIVE_ENDS,
    [edgeIds],
  );
  const passives = new Set(wanted.map((link) => link.passive.id));
  const seen = groupBy(ends.rows, (row) => row.edge_id);
  return edgeIds.filter((edgeId) => {
    const here = seen.get(edgeId);
    return here?.some((end) => passives.has(`${end.host_id}:${end.process_id}`)) ?? true;
  });
}

function activeColumns(links: readonly Link[]): unknown[][] {
  const processes = new Map<string, unknown[]>();
  const routable = new Map<string, unknown[]>();
  const local = new Map<string, unknown[]>();
  for (const { active, passivePort } of links) {
    const key = `${active.id}|${passivePort}`;
    if (active.kind === 'process') {
      processes.set(key, [active.hostId, active.processId, passivePort]);
    } else if (active.scope === '') routable.set(key, [active.address, passivePort]);
    else local.set(key, [scopeHost(active.scope), active.address, passivePort]);
  }
  return [...columns(processes, 3), ...columns(routable, 2), ...columns(local, 3)];
}

function columns(rows: ReadonlyMap<string, readonly unknown[]>, width: number): unknown[][] {
  return Array.from({ length: width }, (_, index) => [...rows.values()].map((row) => row[index]));
}
