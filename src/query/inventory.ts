import type { ClientBase } from 'pg';
import { isWildcard } from './address.ts';
import type { Graph } from './graph.ts';
import { listenersAt } from './listener-match.ts';
import { listedSince, type TimeRange } from './range.ts';

/** A host that runs an agent, or did in the range. */
export interface HostEntry {
  readonly hostId: string;
  readonly host: string;
  readonly addresses: readonly string[];
  readonly agentVersion: string;
  readonly kernelRelease: string;
  readonly firstSeen: Date;
  readonly lastSeen: Date;
}

/** A listening endpoint and how it was used in the range. */
export interface ListenerEntry {
  readonly hostId: string;
  readonly host: string;
  readonly node: string;
  readonly process: string | null;
  readonly exe: string | null;
  readonly unit: string | null;
  readonly container: string | null;
  readonly address: string;
  readonly port: number;
  readonly netns: string;
  readonly firstSeen: Date;
  readonly lastSeen: Date;
  readonly connections: bigint;
  readonly failed: bigint;
  readonly open: bigint;
}

/** Hosts known before $2 whose agent reported since $1. */
export const HOSTS = `
SELECT host_id, name, agent_version, kernel_release, first_seen, last_seen FROM hosts
WHERE last_seen >= $1 AND first_seen < $2 ORDER BY name, host_id`;

/** Addresses that the hosts $1 had between $2 and $3 and that mean something beyond them. */
export const HOST_ADDRESSES = `
SELECT DISTINCT host_id, host(address) AS address FROM host_addresses
WHERE host_id = ANY($1::uuid[]) AND NOT host_local AND last_seen >= $2 AND first_seen < $3`;

export const LISTENERS_IN_RANGE = `
SELECT l.host_id, h.name AS host, l.process_id::text, p.name AS process, p.exe, p.unit,
       p.container_id, host(l.address) AS address, l.port, l.netns, l.first_seen, l.last_seen
FROM passive_nodes l
JOIN processes p ON p.host_id = l.host_id AND p.process_id = l.process_id
JOIN hosts h ON h.host_id = l.host_id
WHERE l.last_seen >= $1 AND l.first_seen < $2
ORDER BY h.name, l.host_id, l.port, l.address, l.process_id`;

interface HostRow {
  host_id: string;
  name: string;
  agent_version: string;
  kernel_release: string;
  first_seen: Date;
  last_seen: Date;
}

interface ListenerRow {
  host_id: string;
  host: string;
  process_id: string;
  process: string;
  exe: string;
  unit: string;
  container_id: string | null;
  address: string;
  port: number;
  netns: string;
  first_seen: Date;
  last_seen: Date;
}

/** Hosts whose agents reported in the range. */
export async function queryHosts(client: ClientBase, range: TimeRange): Promise<HostEntry[]> {
  const { rows } = await client.query<HostRow>(HOSTS, [range.since, range.until]);
  const addresses = await client.query<{ host_id: string; address: string }>(HOST_ADDRESSES, [
    rows.map((row) => row.host_id),
    range.since,
    range.until,
  ]);
  return rows.map((row) => ({
    hostId: row.host_id,
    host: row.name,
    addresses: addresses.rows
      .filter((it) => it.host_id === row.host_id)
      .map((it) => it.address)
      .sort(),
    agentVersion: row.agent_version,
    kernelRelease: row.kernel_release,
    firstSeen: row.first_seen,
    lastSeen: row.last_seen,
  }));
}

/**
 * Listeners seen in the range, with what reached them.
 * @param flows all edges of the same range
 */
export async function queryListeners(
  client: ClientBase,
  range: TimeRange,
  flows: Graph,
): Promise<ListenerEntry[]> {
  const { rows } = await client.query<ListenerRow>(LISTENERS_IN_RANGE, [
    listedSince(range),
    range.until,
  ]);
  return rows.map((row) => {
    const node = `${row.host_id}:${row.process_id}`;
    const used = flows.edges.filter((edge) => edge.passive === node && isServedBy(edge, row, rows));
    const sum = (pick: (edge: (typeof used)[number]) => bigint): bigint =>
      used.reduce((total, edge) => total + pick(edge), 0n);
    return {
      hostId: row.host_id,
      host: row.host,
      node,
      process: row.process || null,
      exe: row.exe || null,
      unit: row.unit || null,
      container: row.container_id,
      address: row.address,
      port: row.port,
      netns: row.netns,
      firstSeen: row.first_seen,
      lastSeen: row.last_seen,
      connections: sum((edge) => edge.connections),
      failed: sum((edge) => edge.failed),
      open: sum((edge) => edge.open),
    };
  });
}

/** Whether an edge to the process of `row` went through this listening socket of it. */
function isServedBy(
  edge: Graph['edges'][number],
  row: ListenerRow,
  rows: readonly ListenerRow[],
): boolean {
  if (edge.passivePort !== row.port) return false;
  if (!isWildcard(row.address)) return edge.passiveAddress === row.address;
  const own = rows.filter((other) => other.process_id === row.process_id);
  const listening = own.map((other) => ({ ...other, hostId: other.host_id }));
  const owner = { hostId: row.host_id, netns: row.netns };
  return listenersAt(owner, edge.passiveAddress, edge.passivePort, listening).some(
    (listener) => listener.address === row.address,
  );
}
