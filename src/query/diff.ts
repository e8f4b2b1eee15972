import type { ClientBase } from 'pg';
import { assembleGraph, toEdge } from './assemble.ts';
import { type BucketRange, withBuckets } from './buckets.ts';
import { loadCoverage, unwatchedSpans } from './coverage.ts';
import { differingEdges, otherEdges } from './diff-edges.ts';
import { type CoverageInterval, type GraphEdge, type GraphNode, isFailedEdge } from './graph.ts';
import { groupBy } from './group-by.ts';
import { isWithin, LinkStore } from './links.ts';
import type { NodeRef } from './node-ref.ts';
import type { Link } from './pairing.ts';
import type { TimeRange } from './range.ts';

export type Change = 'new' | 'gone' | 'failed';

/** A dependency that is not the same in both ranges: all edges between two nodes on one port. */
export interface DiffEdge extends GraphEdge {
  /** `failed`: all its connects fail now, and before they did not. */
  readonly change: Change;
  /**
   * Whether the host of at least one end was watched in the range in which the edge is missing (for
   * `failed`: in the one before). If not, that it is missing there means nothing.
   */
  readonly watched: boolean;
  /** In the other range the same addresses were connected by a process that is not known. */
  readonly reattributed: boolean;
}

export interface DiffSide extends TimeRange {
  /** Of all hosts. */
  readonly coverage: readonly CoverageInterval[];
}

export interface Diff {
  readonly before: DiffSide;
  readonly after: DiffSide;
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly DiffEdge[];
}

/** A range counts as watched when no more of it than this was not. */
const MAX_UNWATCHED = 0.05;

/** What was known of a dependency in one range. */
type State = 'used' | 'failing' | 'absent';

/**
 * Dependencies that appeared, went away, or began to fail. They are compared by node and port, so
 * pids, restarts, ephemeral ports and other addresses of the same hosts make no difference.
 */
export async function queryDiff(
  client: ClientBase,
  beforeRange: TimeRange,
  afterRange: TimeRange,
): Promise<Diff> {
  const ranges = [
    await withBuckets(client, beforeRange),
    await withBuckets(client, afterRange),
  ] as const;
  const before = new RangeOfLinks(client, ranges[0]);
  const after = new RangeOfLinks(client, ranges[1]);
  const load = async (edgeIds: readonly string[]): Promise<void> => {
    await before.load(edgeIds);
    await after.load(edgeIds);
  };
  await load(await differingEdges(client, ...ranges));
  // The same two nodes may have met by other addresses, on edges that did not change.
  const changed = changesOf(before, after).map(({ link }) => link);
  await load(await otherEdges(client, ranges, changed));
  const sides = {
    before: { ...beforeRange, coverage: await loadCoverage(client, beforeRange, null) },
    after: { ...afterRange, coverage: await loadCoverage(client, afterRange, null) },
  };
  const changes = changesOf(before, after);
  const watchedBefore = watchedHosts(sides.before);
  const watchedAfter = watchedHosts(sides.after);
  const edges = changes.map(({ change, link }): DiffEdge => {
    const [watched, other] = change === 'gone' ? [watchedAfter, after] : [watchedBefore, before];
    const hostIds = [link.active.hostId, link.passive.hostId];
    return {
      ...toEdge(link),
      change,
      watched: hostIds.some((hostId) => hostId !== null && watched.has(hostId)),
      reattributed: other.hasUnknownLike(link),
    };
  });
  return { ...sides, edges, nodes: await nodesOf(client, sides, changes) };
}

/** True for a change that is proven: it counts for `--fail-on`. */
export function isProven({ change, watched, reattributed }: DiffEdge): boolean {
  return !reattributed && (watched || change !== 'gone');
}

interface Changed {
  readonly change: Change;
  readonly link: Link;
}

function changesOf(before: RangeOfLinks, after: RangeOfLinks): Changed[] {
  const keys = [...new Set([...after.pairs.keys(), ...before.pairs.keys()])].sort();
  return keys.flatMap((key) => {
    const [was, is] = [before.pairs.get(key) ?? [], after.pairs.get(key) ?? []];
    const change = changeOf(stateOf(was), stateOf(is));
    if (change === null) return [];
    return [{ change, link: merged(change === 'gone' ? was : is) }];
  });
}

function changeOf(was: State, is: State): Change | null {
  if (is === 'used') return was === 'used' ? null : 'new';
  if (is === 'failing') return was === 'failing' ? null : 'failed';
  return was === 'used' ? 'gone' : null;
}

function stateOf(links: readonly Link[]): State {
  if (links.length === 0) return 'absent';
  return links.every(isFailedEdge) ? 'failing' : 'used';
}

/** One link for all between two nodes on a port: the busiest, with the counts of all. */
function merged(links: readonly Link[]): Link {
  const [busiest] = links.toSorted(
    (a, b) => Number(b.connections - a.connections) || (a.key < b.key ? -1 : 1),
  );
  if (busiest === undefined) throw new Error('a change without links');
  const sum = (pick: (link: Link) => bigint): bigint =>
    links.reduce((total, link) => total + pick(link), 0n);
  return {
    ...busiest,
    connections: sum((link) => link.connections),
    failed: sum((link) => link.failed),
    open: sum((link) => link.open),
    bytesToPassive: sum((link) => link.bytesToPassive),
    bytesToActive: sum((link) => link.bytesToActive),
    firstSeen: new Date(Math.min(...links.map((link) => link.firstSeen.getTime()))),
    lastSeen: new Date(Math.max(...links.map((link) => link.lastSeen.getTime()))),
    foundBy: links.reduce((bits, link) => bits | link.foundBy, 0),
  };
}

/** The links of one range, by the nodes and port they join. */
class RangeOfLinks {
  readonly pairs = new Map<string, Link[]>();
  readonly #range: TimeRange;
  readonly #store: LinkStore;
  readonly #loaded = new Set<string>();
  readonly #byEdge = new Map<string, Link[]>();

  constructor(client: ClientBase, range: BucketRange) {
    this.#range = range;
    this.#store = new LinkStore(client, range);
  }

  async load(edgeIds: readonly string[]): Promise<void> {
    const missing = edgeIds.filter((edgeId) => !this.#loaded.has(edgeId));
    for (const edgeId of missing) this.#loaded.add(edgeId);
    for (const link of await this.#store.load(missing)) {
      if (!isWithin(link, this.#range)) continue;
      push(this.pairs, pairKey(link), link);
      push(this.#byEdge, edgeOf(link), link);
    }
  }

  /** Whether the same edge is here between nodes that may be the same but are not known. */
  hasUnknownLike(link: Link): boolean {
    return (this.#byEdge.get(edgeOf(link)) ?? []).some(
      (other) =>
        pairKey(other) !== pairKey(link) &&
        mayBeSame(other.active, link.active) &&
        mayBeSame(other.passive, link.passive),
    );
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}

function pairKey({ active, passive, passivePort }: Link): string {
  return `${active.id}|${passive.id}|${passivePort}`;
}

function edgeOf({ key }: Link): string {
  return key.split('|', 1)[0] ?? key;
}

function mayBeSame(a: NodeRef, b: NodeRef): boolean {
  return a.id === b.id || a.kind === 'address' || b.kind === 'address';
}

/** Hosts that were watched for as good as all of a range. */
function watchedHosts({ coverage, ...range }: DiffSide): Set<string> {
  const allowedMs = MAX_UNWATCHED * (range.until.getTime() - range.since.getTime());
  const hosts = groupBy(coverage, ({ hostId }) => hostId);
  const watched = [...hosts].filter(([, intervals]) => {
    const holes = unwatchedSpans(intervals, range);
    return holes.reduce((ms, { from, to }) => ms + (to.getTime() - from.getTime()), 0) <= allowedMs;
  });
  return new Set(watched.map(([hostId]) => hostId));
}

async function nodesOf(
  client: ClientBase,
  { before, after }: { readonly before: TimeRange; readonly after: TimeRange },
  changes: readonly Changed[],
): Promise<readonly GraphNode[]> {
  const both = {
    since: new Date(Math.min(before.since.getTime(), after.since.getTime())),
    until: new Date(Math.max(before.until.getTime(), after.until.getTime())),
  };
  const links = changes.map(({ link }) => link);
  const refs = new Map(
    links.flatMap(({ active, passive }) => [active, passive]).map((ref) => [ref.id, ref] as const),
  );
  const graph = await assembleGraph(client, both, {
    nodes: [...refs.values()].map((ref) => ({ ref, depth: 0 })),
    links,
    endpoints: [],
    hostIds: [],
  });
  return graph.nodes;
}
