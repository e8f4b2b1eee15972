import type { ClientBase } from 'pg';
import { isWildcard } from './address.ts';
import { loadCoverage } from './coverage.ts';
import type { Graph, GraphEdge, GraphNode } from './graph.ts';
import { groupBy } from './group-by.ts';
import type { NodeRef } from './node-ref.ts';
import { foundByNames, type Link } from './pairing.ts';
import { listedSince, type TimeRange } from './range.ts';
import type { SeedEndpoint } from './seeds.ts';

export const HOST_NAMES = 'SELECT host_id, name FROM hosts WHERE host_id = ANY($1::uuid[])';

export const PROCESS_DETAILS = `
SELECT host_id, process_id::text, name, exe, unit, container_id, uid::text, pgid FROM processes
WHERE (host_id, process_id) IN (SELECT h, p FROM unnest($1::uuid[], $2::bigint[]) AS u(h, p))`;

/** Where processes ($1, $2) listened between $3 and $4. */
export const LISTENERS_OF_PROCESSES = `
SELECT host_id, process_id::text, host(address) AS address, port FROM passive_nodes
WHERE (host_id, process_id) IN (SELECT h, p FROM unnest($1::uuid[], $2::bigint[]) AS u(h, p))
  AND last_seen >= $3 AND first_seen < $4`;

interface ProcessRow {
  host_id: string;
  process_id: string;
  name: string;
  exe: string;
  unit: string;
  container_id: string | null;
  uid: string;
  pgid: number;
}

/** What an answer is made of. */
export interface Findings {
  readonly nodes: readonly { readonly ref: NodeRef; readonly depth: number }[];
  readonly links: readonly Link[];
  readonly endpoints: readonly SeedEndpoint[];
  /** Hosts whose coverage matters besides those of the nodes. */
  readonly hostIds: readonly string[];
}

/** Looks up names and coverage, and puts an answer together in a stable order. */
export async function assembleGraph(
  client: ClientBase,
  range: TimeRange,
  findings: Findings,
): Promise<Graph> {
  const refs = findings.nodes.map(({ ref }) => ref);
  const hostIds = [...new Set([...refs.map((ref) => ref.hostId), ...findings.hostIds])].filter(
    (hostId) => hostId !== null,
  );
  const hosts = await loadHostNames(client, hostIds);
  const processes = await loadProcesses(client, refs);
  const endpoints = groupBy(
    [
      ...findings.endpoints,
      ...(await loadListeners(client, range, refs)),
      ...findings.links.map((link) => ({
        nodeId: link.passive.id,
        address: link.passiveAddress,
        port: link.passivePort,
      })),
      ...findings.links.map((link) => ({ nodeId: link.active.id, address: link.activeAddress })),
    ],
    (endpoint) => endpoint.nodeId,
  );
  const nodes = findings.nodes.map(({ ref, depth }): GraphNode => {
    const known = endpoints.get(ref.id) ?? [];
    const own = ref.kind === 'address' ? [{ address: ref.address }] : [];
    const addresses = [...own, ...known].map((endpoint) => endpoint.address);
    return {
      id: ref.id,
      hostId: ref.hostId,
      host: ref.hostId === null ? null : (hosts.get(ref.hostId) ?? null),
      ...processFields(processes.get(ref.id)),
      addresses: [...new Set(addresses)].filter((address) => !isWildcard(address)).sort(),
      ports: [...new Set(known.flatMap((it) => ('port' in it ? [it.port] : [])))].sort(
        (a, b) => a - b,
      ),
      depth,
    };
  });
  return {
    since: range.since,
    until: range.until,
    nodes: nodes.sort((a, b) => a.depth - b.depth || compareText(a.id, b.id)),
    edges: findings.links.toSorted((a, b) => compareText(a.key, b.key)).map(toEdge),
    coverage: await loadCoverage(client, range, hostIds),
  };
}

async function loadHostNames(
  client: ClientBase,
  hostIds: readonly string[],
): Promise<Map<string, string>> {
  if (hostIds.length === 0) return new Map();
  const { rows } = await client.query<{ host_id: string; name: string }>(HOST_NAMES, [hostIds]);
  return new Map(rows.map((row) => [row.host_id, row.name]));
}

async function loadProcesses(
  client: ClientBase,
  refs: readonly NodeRef[],
): Promise<Map<string, ProcessRow>> {
  const wanted = refs.filter((ref) => ref.kind === 'process');
  if (wanted.length === 0) return new Map();
  const { rows } = await client.query<ProcessRow>(PROCESS_DETAILS, [
    wanted.map((ref) => ref.hostId),
    wanted.map((ref) => ref.processId),
  ]);
  return new Map(rows.map((row) => [`${row.host_id}:${row.process_id}`, row]));
}

async function loadListeners(
  client: ClientBase,
  range: TimeRange,
  refs: readonly NodeRef[],
): Promise<SeedEndpoint[]> {
  const wanted = refs.filter((ref) => ref.kind === 'process');
  if (wanted.length === 0) return [];
  const { rows } = await client.query<{
    host_id: string;
    process_id: string;
    address: string;
    port: number;
  }>(LISTENERS_OF_PROCESSES, [
    wanted.map((ref) => ref.hostId),
    wanted.map((ref) => ref.processId),
    listedSince(range),
    range.until,
  ]);
  return rows.map((row) => ({
    nodeId: `${row.host_id}:${row.process_id}`,
    address: row.address,
    port: row.port,
  }));
}

function processFields(
  row: ProcessRow | undefined,
): Pick<GraphNode, 'process' | 'exe' | 'unit' | 'container' | 'uid' | 'pgid'> {
  const text = (value: string | undefined): string | null =>
    value === undefined || value === '' ? null : value;
  const uid = Number(row?.uid ?? -1);
  return {
    process: text(row?.name),
    exe: text(row?.exe),
    unit: text(row?.unit),
    container: row?.container_id ?? null,
    uid: uid < 0 ? null : uid,
    pgid: row === undefined || row.pgid === 0 ? null : row.pgid,
  };
}

/** A link in the graph's form. */
export function toEdge(link: Link): GraphEdge {
  return {
    active: link.active.id,
    passive: link.passive.id,
    proto: 'tcp',
    activeAddress: link.activeAddress,
    passiveAddress: link.passiveAddress,
    passivePort: link.passivePort,
    connections: link.connections,
    failed: link.failed,
    open: link.open,
    bytesToPassive: link.bytesToPassive,
    bytesToActive: link.bytesToActive,
    firstSeen: link.firstSeen,
    lastSeen: link.lastSeen,
    seenBy: link.seenBy,
    foundBy: foundByNames(link.foundBy),
    ambiguous: link.ambiguous,
  };
}

/** By code unit: the same order on every machine, whatever its locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
