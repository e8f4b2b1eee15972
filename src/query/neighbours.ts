import type { ClientBase } from 'pg';
import { isWildcard } from './address.ts';
import { type BucketRange, earliestSighting } from './buckets.ts';
import { type NodeRef, scopeHost } from './node-ref.ts';
import type { TimeRange } from './range.ts';

export type Direction = 'dependents' | 'dependencies';

/**
 * Edges that may have their passive end in a set of nodes: halves of the processes ($2, $3), and
 * halves of their peers, told by the endpoint: routable ($4, $5), or local to a host ($6, $7); and
 * edges of bare addresses: routable ($8), or local to a host ($9, $10). $1: `last_seen` after.
 */
export const EDGES_TO = `
SELECT edge_id::text FROM flows
WHERE side = 'P' AND (host_id, process_id) IN (SELECT h, p FROM unnest($2::uuid[], $3::bigint[]) AS u(h, p))
  AND last_seen > $1
UNION
SELECT edge_id::text FROM flows
WHERE side = 'A'
  AND (passive_address, passive_port) IN (SELECT a, p FROM unnest($4::inet[], $5::int[]) AS u(a, p))
  AND last_seen > $1
UNION
SELECT edge_id::text FROM flows
WHERE side = 'A' AND scope <> ''
  AND (host_id, passive_port) IN (SELECT h, p FROM unnest($6::uuid[], $7::int[]) AS u(h, p))
  AND last_seen > $1
UNION
SELECT edge_id::text FROM flows
WHERE passive_address = ANY($8::inet[]) AND last_seen > $1
UNION
SELECT edge_id::text FROM flows
WHERE scope <> '' AND (host_id, passive_address) IN (SELECT h, a FROM unnest($9::uuid[], $10::inet[]) AS u(h, a))
  AND last_seen > $1`;

/**
 * Edges that may have their active end in a set of nodes: halves of the processes ($2, $3), and
 * edges of bare addresses: routable ($4), or local to a host ($5, $6). $1: `last_seen` after.
 */
export const EDGES_FROM = `
SELECT edge_id::text FROM flows
WHERE side = 'A' AND (host_id, process_id) IN (SELECT h, p FROM unnest($2::uuid[], $3::bigint[]) AS u(h, p))
  AND last_seen > $1
UNION
SELECT edge_id::text FROM flows
WHERE active_address = ANY($4::inet[]) AND last_seen > $1
UNION
SELECT edge_id::text FROM flows
WHERE scope <> '' AND (host_id, active_address) IN (SELECT h, a FROM unnest($5::uuid[], $6::inet[]) AS u(h, a))
  AND last_seen > $1`;

/**
 * Where processes ($1, $2) listened between $3 and $4: one row for each address of the namespace
 * when it is a wildcard, so that a peer's half can be found by the address it connected to.
 */
export const ENDPOINTS_OF_PROCESSES = `
SELECT DISTINCT l.host_id, host(l.address) AS address, l.port, host(a.address) AS host_address, a.host_local
FROM passive_nodes l
LEFT JOIN host_addresses a ON a.host_id = l.host_id AND a.netns = l.netns
  AND (a.address = l.address OR host(l.address) IN ('0.0.0.0', '::'))
WHERE (l.host_id, l.process_id) IN (SELECT h, p FROM unnest($1::uuid[], $2::bigint[]) AS u(h, p))
  AND l.last_seen >= $3 AND l.first_seen < $4`;

interface EndpointRow {
  host_id: string;
  address: string;
  port: number;
  host_address: string | null;
  host_local: boolean | null;
}

/**
 * Ids of the edges that may lead to (dependents) or from (dependencies) the given nodes: a
 * superset, since who is at an unseen end is only known once the edge's halves are loaded.
 */
export async function candidateEdges(
  client: ClientBase,
  range: BucketRange,
  direction: Direction,
  nodes: readonly NodeRef[],
): Promise<string[]> {
  const processes = nodes.filter((node) => node.kind === 'process');
  const addresses = nodes.filter((node) => node.kind === 'address');
  const routable = addresses.filter((node) => node.scope === '');
  const local = addresses.filter((node) => node.scope !== '');
  const endpoints =
    direction === 'dependents' && processes.length > 0
      ? await loadEndpoints(client, range, processes)
      : { routable: [], local: [] };
  const processKeys = [processes.map((node) => node.hostId), processes.map((n) => n.processId)];
  const addressKeys = [
    routable.map((node) => node.address),
    local.map((node) => scopeHost(node.scope)),
    local.map((node) => node.address),
  ];
  const endpointKeys = [
    endpoints.routable.map(({ address }) => address),
    endpoints.routable.map(({ port }) => port),
    endpoints.local.map(({ hostId }) => hostId),
    endpoints.local.map(({ port }) => port),
  ];
  const { rows } = await client.query<{ edge_id: string }>(
    direction === 'dependents' ? EDGES_TO : EDGES_FROM,
    direction === 'dependents'
      ? [earliestSighting(range), ...processKeys, ...endpointKeys, ...addressKeys]
      : [earliestSighting(range), ...processKeys, ...addressKeys],
  );
  return rows.map((row) => row.edge_id);
}

interface Endpoints {
  readonly routable: readonly { readonly address: string; readonly port: number }[];
  /** Host-local connections are found by host and port: both their ends are on that host. */
  readonly local: readonly { readonly hostId: string; readonly port: number }[];
}

async function loadEndpoints(
  client: ClientBase,
  range: TimeRange,
  processes: readonly { readonly hostId: string; readonly processId: string }[],
): Promise<Endpoints> {
  const { rows } = await client.query<EndpointRow>(ENDPOINTS_OF_PROCESSES, [
    processes.map((node) => node.hostId),
    processes.map((node) => node.processId),
    range.since,
    range.until,
  ]);
  const routable = rows.flatMap((row) => {
    const address = isWildcard(row.address) ? row.host_address : row.address;
    return address === null || row.host_local === true ? [] : [{ address, port: row.port }];
  });
  return { routable, local: rows.map((row) => ({ hostId: row.host_id, port: row.port })) };
}
