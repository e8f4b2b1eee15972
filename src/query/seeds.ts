import type { ClientBase } from 'pg';
import { isWildcard } from './address.ts';
import { type BucketRange, earliestSighting } from './buckets.ts';
import type { LinkStore } from './links.ts';
import { type AddressRef, attributedRef, type NodeRef } from './node-ref.ts';
import type { Link } from './pairing.ts';
import { listedSince, type TimeRange } from './range.ts';
import {
  EDGES_AT_ENDPOINT,
  EDGES_OF_ADDRESSES,
  EDGES_OF_HOSTS,
  HOSTS_BY_NAME,
  HOSTS_WITH_ADDRESS,
  LISTENERS_AT_ENDPOINT,
  LISTENERS_OF_HOSTS,
  PROCESSES_BY_CONTAINER,
  PROCESSES_BY_NAME,
  PROCESSES_BY_UNIT,
  ROUTABLE_ADDRESSES_OF_HOSTS,
} from './seed-statements.ts';
import type { Target } from './target.ts';

/** The nodes a TARGET names. */
export interface Seeds {
  readonly nodes: readonly NodeRef[];
  /** Hosts the TARGET is about, even when none of their processes is known in the range. */
  readonly hostIds: readonly string[];
  /** Endpoints by which the nodes were found: shown where no edge shows an address. */
  readonly endpoints: readonly SeedEndpoint[];
  /** Which edges to the seeds the TARGET means: `IP:PORT` is not about their other ports. */
  readonly isDependentEdge: (link: Link) => boolean;
}

export interface SeedEndpoint {
  readonly nodeId: string;
  readonly address: string;
  readonly port: number;
}

interface ListenerRow {
  host_id: string;
  process_id: string;
  address: string;
  port: number;
  netns: string;
}

/** Finds the nodes of a TARGET; none when it is unknown in the range. */
export async function findSeeds(
  client: ClientBase,
  range: BucketRange,
  store: LinkStore,
  target: Target,
): Promise<Seeds> {
  switch (target.kind) {
    case 'endpoint':
      return findEndpoint(client, range, store, target);
    case 'host':
      return findHosts(client, range, store, target.name);
    case 'process':
      return findProcesses(client, range, PROCESSES_BY_NAME, target.name);
    case 'unit':
      return findProcesses(client, range, PROCESSES_BY_UNIT, target.name);
    case 'container':
      return findProcesses(client, range, PROCESSES_BY_CONTAINER, target.name);
  }
}

async function findEndpoint(
  client: ClientBase,
  range: BucketRange,
  store: LinkStore,
  target: { readonly address: string | null; readonly port: number | null },
): Promise<Seeds> {
  const { address, port } = target;
  const edges = await client.query<{ edge_id: string }>(EDGES_AT_ENDPOINT, [
    address,
    port,
    earliestSighting(range),
  ]);
  const listeners = await client.query<ListenerRow>(LISTENERS_AT_ENDPOINT, [
    address,
    port,
    listedSince(range),
    range.until,
  ]);
  const isDependentEdge = (link: Link): boolean =>
    (address === null || link.passiveAddress === address) &&
    (port === null || link.passivePort === port);
  const isDependencyEdge = (link: Link): boolean => port === null && link.activeAddress === address;
  const links = await store.load(edges.rows.map((row) => row.edge_id));
  const listening = listenerSeeds(listeners.rows);
  const nodes = uniqueNodes([
    ...listening.nodes,
    ...links.filter(isDependentEdge).map((link) => link.passive),
    ...links.filter(isDependencyEdge).map((link) => link.active),
  ]);
  const owners =
    address === null || port !== null ? [] : await ownAddress(client, range, address, nodes);
  return {
    nodes: [...nodes, ...owners],
    hostIds: [],
    endpoints: listening.endpoints,
    isDependentEdge,
  };
}

/** The bare address, should a watched host own it and no process be known there. */
async function ownAddress(
  client: ClientBase,
  range: TimeRange,
  address: string,
  nodes: readonly NodeRef[],
): Promise<AddressRef[]> {
  if (nodes.length > 0) return [];
  const { rows } = await client.query<{ host_id: string; host_local: boolean; netns: string }>(
    HOSTS_WITH_ADDRESS,
    [address, range.until],
  );
  return uniqueNodes(rows.map((row) => ownedAddress(row, address))).filter(
    (node) => node.kind === 'address',
  );
}

function ownedAddress(
  row: { host_id: string; host_local: boolean; netns: string },
  address: string,
): NodeRef {
  const netns = row.netns === '' ? '' : `/${row.netns}`;
  return attributedRef(row.host_id, '0', address, row.host_local ? `${row.host_id}${netns}` : '');
}

async function findHosts(
  client: ClientBase,
  range: BucketRange,
  store: LinkStore,
  name: string,
): Promise<Seeds> {
  const hosts = await client.query<{ host_id: string }>(HOSTS_BY_NAME, [name]);
  const hostIds = hosts.rows.map((row) => row.host_id);
  if (hostIds.length === 0) return { ...NO_SEEDS, hostIds };
  const earliest = earliestSighting(range);
  const addresses = await client.query<{ address: string }>(ROUTABLE_ADDRESSES_OF_HOSTS, [
    hostIds,
    range.until,
  ]);
  const own = await client.query<{ edge_id: string }>(EDGES_OF_HOSTS, [hostIds, earliest]);
  const peers = await client.query<{ edge_id: string }>(EDGES_OF_ADDRESSES, [
    addresses.rows.map((row) => row.address),
    earliest,
  ]);
  const listeners = await client.query<ListenerRow>(LISTENERS_OF_HOSTS, [
    hostIds,
    listedSince(range),
    range.until,
  ]);
  const edgeIds = new Set([...own.rows, ...peers.rows].map((row) => row.edge_id));
  const links = await store.load([...edgeIds]);
  const ends = links.flatMap((link) => [link.passive, link.active]);
  const listening = listenerSeeds(listeners.rows);
  return {
    nodes: uniqueNodes([
      ...listening.nodes,
      ...ends.filter((node) => node.hostId !== null && hostIds.includes(node.hostId)),
    ]),
    hostIds,
    endpoints: listening.endpoints,
    isDependentEdge: () => true,
  };
}

async function findProcesses(
  client: ClientBase,
  range: TimeRange,
  sql: string,
  name: string,
): Promise<Seeds> {
  const { rows } = await client.query<{ host_id: string; process_id: string; last_seen: Date }>(
    sql,
    [name, range.until],
  );
  // Earlier deploys leave processes of the same name behind; they matter only when none is current.
  const current = rows.filter((row) => row.last_seen >= range.since);
  const chosen = current.length > 0 ? current : rows;
  return {
    ...NO_SEEDS,
    nodes: chosen.map((row) => attributedRef(row.host_id, row.process_id, '', '')),
  };
}

const NO_SEEDS: Seeds = { nodes: [], hostIds: [], endpoints: [], isDependentEdge: () => true };

function listenerSeeds(rows: readonly ListenerRow[]): {
  nodes: NodeRef[];
  endpoints: SeedEndpoint[];
} {
  const found = rows.map((row) => {
    const scope = row.netns === '' ? row.host_id : `${row.host_id}/${row.netns}`;
    const node = attributedRef(row.host_id, row.process_id, row.address, scope);
    return { node, endpoint: { nodeId: node.id, address: row.address, port: row.port } };
  });
  return {
    nodes: found.map(({ node }) => node).filter((node) => node.kind === 'process'),
    endpoints: found.map(({ endpoint }) => endpoint).filter((it) => !isWildcard(it.address)),
  };
}

function uniqueNodes(nodes: readonly NodeRef[]): NodeRef[] {
  return [...new Map(nodes.map((node) => [node.id, node])).values()];
}
