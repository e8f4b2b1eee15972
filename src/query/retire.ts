import type { ClientBase } from 'pg';
import { assembleGraph } from './assemble.ts';
import { type BucketRange, earliestBucket, withBuckets } from './buckets.ts';
import { searchClosure } from './closure.ts';
import { type Span, unwatchedSpans } from './coverage.ts';
import { type Graph, type GraphEdge, isFailedEdge } from './graph.ts';
import { groupBy } from './group-by.ts';
import { isWithin, LinkStore } from './links.ts';
import type { NodeRef } from './node-ref.ts';
import type { Link } from './pairing.ts';
import { type Busy, longestSilence, periodOf } from './periods.ts';
import type { TimeRange } from './range.ts';
import { findSeeds, type Seeds } from './seeds.ts';
import type { Target } from './target.ts';
import { BUSY_BUCKETS } from './timeline-statement.ts';

/**
 * `in use`: a connection was open or opened in the range. `unused`: none was, and each host of TARGET
 * was watched throughout, without known losses. `unknown`: none is known, but somebody had to watch.
 */
export type Verdict = 'in use' | 'unused' | 'unknown';

/** Whether a TARGET can be switched off. */
export interface Retirement extends Graph {
  readonly verdict: Verdict;
  /** When it was last in use, also before the range; null when never as far as is known. */
  readonly lastUse: Date | null;
  /** Connections open at the latest report. */
  readonly open: bigint;
  /** The longest stretch of the range without a connection, to the precision of buckets. */
  readonly longestSilence: Span | null;
  readonly edges: readonly RetirementEdge[];
}

export interface RetirementEdge extends GraphEdge {
  /** Milliseconds between visits, of a caller that comes at regular intervals; else null. */
  readonly periodMs: number | null;
}

/**
 * Who uses TARGET, and when it was silent. What never listened is in use while it connects itself.
 * Failed connects are listed, but are no use.
 * @returns null when there is no such target in the range
 */
export async function queryRetirement(
  client: ClientBase,
  target: Target,
  asked: TimeRange,
): Promise<Retirement | null> {
  const range = await withBuckets(client, asked);
  const store = new LinkStore(client, range);
  const seeds = await findSeeds(client, range, store, target);
  if (seeds.nodes.length === 0 && seeds.hostIds.length === 0) return null;
  const { refs, links } = await findUses(client, range, store, seeds);
  const graph = await assembleGraph(client, range, {
    nodes: refs,
    links,
    endpoints: seeds.endpoints,
    hostIds: seeds.hostIds,
  });
  const busy = await loadBusy(client, range, links);
  const used = links.filter((link) => !isFailedEdge(link));
  const all = used.flatMap((link) => busy.get(link.key) ?? []);
  const watched = isWatched(graph, seeds);
  const earlier = used.length > 0 ? null : await lastUseBefore(client, range, seeds);
  const periods = new Map(links.map((link) => [edgeKey(link), periodOf(busy.get(link.key) ?? [])]));
  return {
    ...graph,
    verdict: used.length > 0 ? 'in use' : watched ? 'unused' : 'unknown',
    lastUse: lastUseOf(used, all, range) ?? earlier,
    open: used.reduce((sum, link) => sum + link.open, 0n),
    longestSilence: longestSilence(all, range),
    edges: graph.edges.map((edge) => ({ ...edge, periodMs: periods.get(edgeKey(edge)) ?? null })),
  };
}

interface Uses {
  readonly refs: readonly { readonly ref: NodeRef; readonly depth: number }[];
  readonly links: readonly Link[];
}

/** Edges to TARGET, and those from nodes of it that have no listener. */
async function findUses(
  client: ClientBase,
  range: BucketRange,
  store: LinkStore,
  seeds: Seeds,
): Promise<Uses> {
  const incoming = await searchClosure(client, range, store, 'dependents', seeds.nodes, {
    depth: 1,
    firstLevel: (link) => seeds.isDependentEdge(link) && isWithin(link, range),
  });
  const asked = await assembleGraph(client, range, {
    nodes: seeds.nodes.map((ref) => ({ ref, depth: 0 })),
    links: [],
    endpoints: seeds.endpoints,
    hostIds: [],
  });
  const listening = new Set([
    ...asked.nodes.filter((node) => node.ports.length > 0).map((node) => node.id),
    ...[...incoming.links.values()].map((link) => link.passive.id),
  ]);
  const clients = seeds.nodes.filter((node) => !listening.has(node.id));
  const outgoing = await searchClosure(client, range, store, 'dependencies', clients, {
    depth: 1,
    firstLevel: (link) => isWithin(link, range),
  });
  const nodes = new Map([...outgoing.nodes, ...incoming.nodes]);
  const isSeed = new Set(seeds.nodes.map((node) => node.id));
  return {
    refs: [...nodes].map(([id, ref]) => ({ ref, depth: isSeed.has(id) ? 0 : 1 })),
    links: [...new Map([...incoming.links, ...outgoing.links]).values()],
  };
}

interface BusyRow {
  edge_id: string;
  host_id: string;
  process_id: string;
  side: 'A' | 'P';
  bucket: Date;
  bucket_seconds: number;
  opened: boolean;
}

/** When each link was in use, by its key: as the active end saw it, else the passive one. */
async function loadBusy(
  client: ClientBase,
  range: BucketRange,
  links: readonly Link[],
): Promise<Map<string, Busy[]>> {
  const edgeIds = [...new Set(links.map(edgeIdOf))];
  if (edgeIds.length === 0) return new Map();
  const { rows } = await client.query<BusyRow>(BUSY_BUCKETS, [
    range.since,
    range.until,
    earliestBucket(range),
    edgeIds,
  ]);
  const edges = groupBy(rows, (row) => row.edge_id);
  return new Map(
    links.map((link) => {
      const known = edges.get(edgeIdOf(link)) ?? [];
      const of = (side: 'A' | 'P', node: NodeRef): BusyRow[] =>
        known.filter((row) => row.side === side && isHalfOf(row, node));
      const active = of('A', link.active);
      const own = active.length > 0 ? active : of('P', link.passive);
      // An edge whose address changed hands is several links, each with its time.
      const within = own.filter(
        (row) => row.bucket <= link.lastSeen && endOf(row) > link.firstSeen.getTime(),
      );
      return [link.key, within.map((row) => toBusy(row, range))];
    }),
  );
}

function isHalfOf(row: BusyRow, node: NodeRef): boolean {
  if (row.host_id !== node.hostId) return false;
  return node.kind === 'process' ? node.processId === row.process_id : row.process_id === '0';
}

function endOf(row: BusyRow): number {
  return row.bucket.getTime() + row.bucket_seconds * 1000;
}

function toBusy(row: BusyRow, range: TimeRange): Busy {
  const endMs = endOf(row);
  return {
    from: new Date(Math.max(row.bucket.getTime(), range.since.getTime())),
    to: new Date(Math.min(endMs, range.until.getTime())),
    opened: row.opened,
  };
}

/** No later than the last bucket in use, since `lastSeen` may lie beyond the range. */
function lastUseOf(used: readonly Link[], busy: readonly Busy[], range: TimeRange): Date | null {
  if (used.length === 0) return null;
  const bounds = [range.until.getTime()];
  if (busy.length > 0) bounds.push(Math.max(...busy.map(({ to }) => to.getTime())));
  const last = Math.max(...used.map((link) => link.lastSeen.getTime()));
  return new Date(Math.min(last, ...bounds));
}

/** Looks through all history, which is only done for what was not used in the range. */
async function lastUseBefore(
  client: ClientBase,
  range: BucketRange,
  seeds: Seeds,
): Promise<Date | null> {
  const all = await withBuckets(client, { since: new Date(0), until: range.until });
  const store = new LinkStore(client, all);
  const { links } = await searchClosure(client, all, store, 'dependents', seeds.nodes, {
    depth: 1,
    firstLevel: (link) => seeds.isDependentEdge(link) && !isFailedEdge(link),
  });
  const times = [...links.values()].map((link) => link.lastSeen.getTime());
  return times.length === 0 ? null : new Date(Math.max(...times));
}

/** Whether all of TARGET was watched in all of the range, and nothing is known to be missed. */
function isWatched(graph: Graph, seeds: Seeds): boolean {
  if (seeds.nodes.some((node) => node.hostId === null)) return false;
  const hostIds = new Set([...seeds.nodes.map((node) => node.hostId), ...seeds.hostIds]);
  const intervals = groupBy(graph.coverage, ({ hostId }) => hostId);
  return [...hostIds].every((hostId) => {
    const own = hostId === null ? [] : (intervals.get(hostId) ?? []);
    const lossless = own.every(({ lost, missedProbes }) => lost + missedProbes === 0n);
    return lossless && unwatchedSpans(own, graph).length === 0;
  });
}

function edgeIdOf({ key }: Link): string {
  return key.split('|', 1)[0] ?? key;
}

/** What tells the edges of a graph apart, for links and edges alike. */
function edgeKey(edge: {
  readonly active: string | NodeRef;
  readonly passive: string | NodeRef;
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly passivePort: number;
}): string {
  const id = (end: string | NodeRef): string => (typeof end === 'string' ? end : end.id);
  const { active, passive, activeAddress, passiveAddress, passivePort } = edge;
  return [id(active), id(passive), activeAddress, passiveAddress, passivePort].join('|');
}
