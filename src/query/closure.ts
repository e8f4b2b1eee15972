import type { ClientBase } from 'pg';
import type { BucketRange } from './buckets.ts';
import type { LinkStore } from './links.ts';
import { candidateEdges, type Direction } from './neighbours.ts';
import type { NodeRef } from './node-ref.ts';
import type { Link } from './pairing.ts';

/** What a breadth-first search found. */
export interface Closure {
  /** Every node reached, the seeds included, and how many hops away it is. */
  readonly depths: Map<string, number>;
  readonly nodes: Map<string, NodeRef>;
  readonly links: Map<string, Link>;
}

export interface ClosureOptions {
  /** Number of levels, at least 1. */
  readonly depth: number;
  /** Which edges count for the seeds, when TARGET names an endpoint; all by default. */
  readonly firstLevel?: (link: Link) => boolean;
  /**
   * Which edges lead on. What only others lead to is part of the answer, but not what lies beyond.
   * All by default.
   */
  readonly follow?: (link: Link) => boolean;
}

/**
 * Follows edges from the seeds, against their direction for dependents, along it for dependencies.
 * A level takes one query for candidate edges (two for dependents: where do they listen), one for
 * their halves and, only when ends are unseen, two to name them. Nodes are expanded once, so cycles
 * and self edges end.
 */
export async function searchClosure(
  client: ClientBase,
  range: BucketRange,
  store: LinkStore,
  direction: Direction,
  seeds: readonly NodeRef[],
  { depth, firstLevel = () => true, follow = () => true }: ClosureOptions,
): Promise<Closure> {
  const depths = new Map<string, number>(seeds.map((seed) => [seed.id, 0]));
  const nodes = new Map(seeds.map((seed) => [seed.id, seed] as const));
  const links = new Map<string, Link>();
  const leaves = new Map<string, { readonly node: NodeRef; readonly level: number }>();
  let frontier = [...nodes.values()];
  for (let level = 1; level <= depth && frontier.length > 0; level += 1) {
    const candidates = await candidateEdges(client, range, direction, frontier);
    const here = new Set(frontier.map((node) => node.id));
    frontier = [];
    for (const link of await store.load(candidates)) {
      const [near, far] =
        direction === 'dependents' ? [link.passive, link.active] : [link.active, link.passive];
      if (!here.has(near.id) || (level === 1 && !firstLevel(link))) continue;
      links.set(link.key, link);
      if (depths.has(far.id)) continue;
      if (!follow(link)) {
        if (!leaves.has(far.id)) leaves.set(far.id, { node: far, level });
        continue;
      }
      depths.set(far.id, level);
      nodes.set(far.id, far);
      frontier.push(far);
    }
  }
  for (const [id, { node, level }] of leaves) {
    if (depths.has(id)) continue;
    depths.set(id, level);
    nodes.set(id, node);
  }
  return { depths, nodes, links };
}
