import type { ClientBase } from 'pg';
import { assembleGraph } from './assemble.ts';
import { type BucketRange, withBuckets } from './buckets.ts';
import { type Graph, isFailedEdge } from './graph.ts';
import { groupBy } from './group-by.ts';
import { LinkStore } from './links.ts';
import { candidateEdges } from './neighbours.ts';
import type { NodeRef } from './node-ref.ts';
import type { Link } from './pairing.ts';
import type { TimeRange } from './range.ts';
import { findSeeds, type Seeds } from './seeds.ts';
import type { Target } from './target.ts';

/** How FROM reaches TO. Depths of nodes are hops from FROM. */
export interface PathAnswer extends Graph {
  /** Shortest chains first; none when FROM does not reach TO. */
  readonly paths: readonly ChainOfNodes[];
  /** There are more chains of that length. */
  readonly more: boolean;
}

export interface ChainOfNodes {
  readonly hops: number;
  /** Node ids from FROM to TO. */
  readonly nodes: readonly string[];
  /**
   * It passes a node of which only the address is known, which may join unrelated processes, or an
   * ambiguous edge. Only given where there is no chain without.
   */
  readonly uncertain: boolean;
}

export type PathResult =
  | { readonly kind: 'answer'; readonly answer: PathAnswer }
  | { readonly kind: 'absent'; readonly which: 'from' | 'to' };

const MAX_CHAINS = 5;
/** No chain of processes is that long; more would be an endless search. */
const MAX_HOPS = 100;

/** What was reached before the level that reaches TO, and how. */
interface Search {
  readonly nodes: ReadonlyMap<string, { readonly ref: NodeRef; readonly depth: number }>;
  /** Edges by which nodes were reached first, by their passive end. */
  readonly steps: ReadonlyMap<string, readonly Link[]>;
  /** Edges of the last level, which lead to TO. */
  readonly last: readonly Link[];
  /** Nodes that are both FROM and TO. */
  readonly shared: readonly NodeRef[];
}

/**
 * The shortest chains of dependencies from FROM to TO, at most five. Chains of known processes are
 * looked for first; only if there is none, others count too. Failed connects lead nowhere.
 */
export async function queryPath(
  client: ClientBase,
  from: Target,
  to: Target,
  asked: TimeRange,
): Promise<PathResult> {
  const range = await withBuckets(client, asked);
  const store = new LinkStore(client, range);
  const start = await findSeeds(client, range, store, from);
  if (start.nodes.length + start.hostIds.length === 0) return { kind: 'absent', which: 'from' };
  const goal = await findSeeds(client, range, store, to);
  if (goal.nodes.length + goal.hostIds.length === 0) return { kind: 'absent', which: 'to' };
  const certain = await search(client, range, store, start, goal, true);
  const reached = certain.last.length + certain.shared.length > 0;
  const best = reached ? certain : await search(client, range, store, start, goal, false);
  return { kind: 'answer', answer: await assemble(client, range, best, [start, goal]) };
}

/**
 * Breadth-first from FROM, until a level reaches TO.
 * @param certainOnly leave out ambiguous edges, and what lies beyond nodes that are mere addresses
 */
async function search(
  client: ClientBase,
  range: BucketRange,
  store: LinkStore,
  start: Seeds,
  goal: Seeds,
  certainOnly: boolean,
): Promise<Search> {
  const goals = new Set(goal.nodes.map((node) => node.id));
  const shared = start.nodes.filter((node) => goals.has(node.id));
  const nodes = new Map<string, { readonly ref: NodeRef; readonly depth: number }>(
    start.nodes.map((ref) => [ref.id, { ref, depth: 0 }]),
  );
  const steps = new Map<string, Link[]>();
  const last: Link[] = [];
  let frontier: NodeRef[] = shared.length > 0 ? [] : [...start.nodes];
  for (let level = 1; level <= MAX_HOPS && frontier.length > 0 && last.length === 0; level += 1) {
    const here = new Set(frontier.map((node) => node.id));
    const candidates = await candidateEdges(client, range, 'dependencies', frontier);
    frontier = [];
    for (const link of await store.load(candidates)) {
      const { active, passive } = link;
      if (!here.has(active.id) || isFailedEdge(link) || (certainOnly && link.ambiguous)) continue;
      // TO may be one port of a process: its other ports don't reach it.
      if (goals.has(passive.id) && goal.isDependentEdge(link)) last.push(link);
      if (!nodes.has(passive.id)) {
        nodes.set(passive.id, { ref: passive, depth: level });
        if (!certainOnly || passive.kind === 'process') frontier.push(passive);
      }
      if (nodes.get(passive.id)?.depth === level) {
        steps.set(passive.id, [...(steps.get(passive.id) ?? []), link]);
      }
    }
  }
  return { nodes, steps, last, shared };
}

/** Chains as node ids from FROM to TO, one more than are shown if there are more. */
function shortestChains({ steps, last, shared }: Search): string[][] {
  const chains: string[][] = shared.map((node) => [node.id]);
  const extend = (id: string, tail: readonly string[]): void => {
    const chain = [id, ...tail];
    const before = groupBy(steps.get(id) ?? [], (link) => link.active.id);
    if (before.size === 0) chains.push(chain);
    for (const previous of before.keys()) {
      if (chains.length > MAX_CHAINS) return;
      extend(previous, chain);
    }
  };
  const ends = groupBy(last, (link) => `${link.active.id}|${link.passive.id}`);
  for (const [link] of ends.values()) {
    if (link !== undefined && chains.length <= MAX_CHAINS)
      extend(link.active.id, [link.passive.id]);
  }
  return chains;
}

async function assemble(
  client: ClientBase,
  range: TimeRange,
  found: Search,
  seeds: readonly Seeds[],
): Promise<PathAnswer> {
  const chains = shortestChains(found);
  const shown = chains.slice(0, MAX_CHAINS);
  const refs = refsOf(found);
  const links = new Map<string, Link>();
  for (const chain of shown) for (const link of linksOf(chain, found)) links.set(link.key, link);
  const onChains = [...depthsOf(shown)].flatMap(([id, depth]) => {
    const ref = refs.get(id);
    return ref === undefined ? [] : [{ ref, depth }];
  });
  // Where there is no chain, the answer rests on every host that was reached, and on those of TO.
  const reached =
    shown.length > 0 ? [] : [...refs.values(), ...seeds.flatMap((seed) => seed.nodes)];
  const graph = await assembleGraph(client, range, {
    nodes: onChains,
    links: [...links.values()],
    endpoints: seeds.flatMap((seed) => seed.endpoints),
    hostIds: [
      ...reached.flatMap((ref) => (ref.hostId === null ? [] : [ref.hostId])),
      ...(shown.length > 0 ? [] : seeds.flatMap((seed) => seed.hostIds)),
    ],
  });
  const paths = shown.map((nodes) => ({
    hops: nodes.length - 1,
    nodes,
    uncertain: isUncertain(nodes, refs, linksOf(nodes, found)),
  }));
  return { ...graph, paths, more: chains.length > shown.length };
}

function refsOf({ nodes, last, shared }: Search): Map<string, NodeRef> {
  const reached = [...nodes.values()].map(({ ref }) => ref);
  const ends = last.map((link) => link.passive);
  return new Map([...reached, ...ends, ...shared].map((ref) => [ref.id, ref] as const));
}

/** The edges that join each node of a chain to the next. */
function linksOf(chain: readonly string[], { steps, last }: Search): Link[] {
  return chain.slice(1).flatMap((id, index) => {
    const isEnd = index === chain.length - 2;
    const into = isEnd ? last.filter((link) => link.passive.id === id) : (steps.get(id) ?? []);
    return into.filter((link) => link.active.id === chain[index]);
  });
}

function depthsOf(chains: readonly (readonly string[])[]): Map<string, number> {
  const depths = new Map<string, number>();
  for (const chain of chains) {
    for (const [depth, id] of chain.entries()) {
      depths.set(id, Math.min(depth, depths.get(id) ?? depth));
    }
  }
  return depths;
}

function isUncertain(
  chain: readonly string[],
  refs: ReadonlyMap<string, NodeRef>,
  links: readonly Link[],
): boolean {
  const throughAddress = chain.slice(1, -1).some((id) => refs.get(id)?.kind === 'address');
  const hops = groupBy(links, (link) => `${link.active.id}|${link.passive.id}`);
  return throughAddress || [...hops.values()].some((hop) => hop.every((link) => link.ambiguous));
}
