import type { ClientBase } from 'pg';
import type { LinkStore } from './links.ts';
import { candidateEdges, type Direction } from './neighbours.ts';
import type { NodeRef } from './node-ref.ts';
import type { Link } from './pairing.ts';
import type { TimeRange } from './range.ts';

/** What a breadth-first search found. */
export interface Closure {
  /** Every node reached, the seeds included, and how many hops away it is. */
  readonly depths: Map<string, number>;
  readonly nodes: Map<string, NodeRef>;
  readonly links: Map<string, Link>;
}

/**
 * Follows edges from the seeds, against their direction for dependents, along it for dependencies.
 * A level takes one query for candidate edges (two for dependents: where do they listen), one for
 * their halves and, only when ends are unseen, two to name them. Nodes are expanded once, so cycles
 * and self edges end.
 * @param depth number of levels, at least 1
 * @param firstLevel which edges count for the seeds, when TARGET names an endpoint
 */
export async function searchClosure(
  client: ClientBase,
  range: TimeRange,
  store: LinkStore,
  direction: Direction,
  seeds: readonly NodeRef[],
  depth: number,
  firstLevel: (link: Link) => boolean = () => true,
): Promise<Closure> {
  const depths = new Map<string, number>(seeds.map((seed) => [seed.id, 0]));
  const nodes = new Map(seeds.map((seed) => [seed.id, seed] as const));
  const links = new Map<string, Link>();
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
      depths.set(far.id, level);
      nodes.set(far.id, far);
      frontier.push(far);
    }
  }
  return { depths, nodes, links };
}
