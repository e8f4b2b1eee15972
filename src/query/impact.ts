import type { ClientBase } from 'pg';
import { assembleGraph } from './assemble.ts';
import { withBuckets } from './buckets.ts';
import { type Closure, searchClosure } from './closure.ts';
import { type Graph, type GraphNode, isFailedEdge } from './graph.ts';
import { groupBy } from './group-by.ts';
import { LinkStore } from './links.ts';
import type { NodeRef } from './node-ref.ts';
import type { Link } from './pairing.ts';
import type { TimeRange } from './range.ts';
import { findSeeds } from './seeds.ts';
import type { Target } from './target.ts';

/** Everything that depends on a TARGET. */
export interface Impact extends Graph {
  readonly nodes: readonly ImpactNode[];
}

export interface ImpactNode extends GraphNode {
  /**
   * No chain of known processes leads from it to TARGET: each passes a node of which only the
   * address is known, which may join unrelated processes, or an ambiguous edge.
   */
  readonly uncertain: boolean;
}

/**
 * Everything that transitively depends on TARGET, by number of hops. A connect that failed is no
 * dependency: who only ever failed to connect is listed, but what depends on that one is not.
 * @param depth levels to follow, at least 1
 * @returns null when there is no such target in the range
 */
export async function queryImpact(
  client: ClientBase,
  target: Target,
  asked: TimeRange,
  depth: number,
): Promise<Impact | null> {
  const range = await withBuckets(client, asked);
  const store = new LinkStore(client, range);
  const seeds = await findSeeds(client, range, store, target);
  if (seeds.nodes.length === 0 && seeds.hostIds.length === 0) return null;
  const closure = await searchClosure(client, range, store, 'dependents', seeds.nodes, {
    depth,
    firstLevel: seeds.isDependentEdge,
    follow: (link) => !isFailedEdge(link),
  });
  const graph = await assembleGraph(client, range, {
    nodes: [...closure.nodes].map(([id, ref]) => ({ ref, depth: closure.depths.get(id) ?? 0 })),
    links: [...closure.links.values()],
    endpoints: seeds.endpoints,
    hostIds: seeds.hostIds,
  });
  const certain = certainDependents(closure, seeds.nodes);
  const nodes = graph.nodes.map((node) => ({ ...node, uncertain: !certain.has(node.id) }));
  return { ...graph, nodes };
}

/** Nodes that a chain of unambiguous edges joins to a seed, with known processes between. */
function certainDependents(closure: Closure, seeds: readonly NodeRef[]): Set<string> {
  const incoming = groupBy([...closure.links.values()], (link: Link) => link.passive.id);
  const certain = new Set(seeds.map((seed) => seed.id));
  const pending = [...certain];
  const failing: string[] = [];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    for (const link of incoming.get(id) ?? []) {
      if (link.ambiguous) continue;
      if (isFailedEdge(link)) {
        failing.push(link.active.id);
        continue;
      }
      if (certain.has(link.active.id)) continue;
      certain.add(link.active.id);
      if (link.active.kind === 'process') pending.push(link.active.id);
    }
  }
  return new Set([...certain, ...failing]);
}
