import type { ClientBase } from 'pg';
import { assembleGraph } from './assemble.ts';
import { withBuckets } from './buckets.ts';
import { type Closure, searchClosure } from './closure.ts';
import type { Graph } from './graph.ts';
import { LinkStore } from './links.ts';
import type { Direction } from './neighbours.ts';
import type { NodeRef } from './node-ref.ts';
import type { TimeRange } from './range.ts';
import { findSeeds } from './seeds.ts';
import type { Target } from './target.ts';

export interface DepsOptions {
  readonly direction: Direction | 'both';
  /** Levels to follow, at least 1. */
  readonly depth: number;
}

/**
 * Who depends on TARGET, and what it depends on. The two directions are searched apart: what a
 * dependent of TARGET depends on besides is no answer to either question.
 * @returns null when there is no such target in the range
 */
export async function queryDeps(
  client: ClientBase,
  target: Target,
  asked: TimeRange,
  options: DepsOptions,
): Promise<Graph | null> {
  const range = await withBuckets(client, asked);
  const store = new LinkStore(client, range);
  const seeds = await findSeeds(client, range, store, target);
  if (seeds.nodes.length === 0 && seeds.hostIds.length === 0) return null;
  const closures: Closure[] = [];
  for (const direction of ['dependents', 'dependencies'] as const) {
    if (options.direction !== 'both' && options.direction !== direction) continue;
    const { depth } = options;
    const search =
      direction === 'dependents' ? { depth, firstLevel: seeds.isDependentEdge } : { depth };
    closures.push(await searchClosure(client, range, store, direction, seeds.nodes, search));
  }
  const links = new Map(closures.flatMap((closure) => [...closure.links]));
  return assembleGraph(client, range, {
    nodes: nearestFirst(closures),
    links: [...links.values()],
    endpoints: seeds.endpoints,
    hostIds: seeds.hostIds,
  });
}

/** Every edge of the range, with depth 0 for all nodes. */
export async function queryFlows(client: ClientBase, asked: TimeRange): Promise<Graph> {
  const range = await withBuckets(client, asked);
  const links = await new LinkStore(client, range).loadAll();
  const refs = new Map(
    links.flatMap((link) => [link.active, link.passive]).map((ref) => [ref.id, ref] as const),
  );
  const hosts = await client.query<{ host_id: string }>('SELECT host_id FROM hosts');
  return assembleGraph(client, range, {
    nodes: [...refs.values()].map((ref) => ({ ref, depth: 0 })),
    links,
    endpoints: [],
    hostIds: hosts.rows.map((row) => row.host_id),
  });
}

function nearestFirst(closures: readonly Closure[]): { ref: NodeRef; depth: number }[] {
  const nearest = new Map<string, { ref: NodeRef; depth: number }>();
  for (const { nodes, depths } of closures) {
    for (const [id, ref] of nodes) {
      const depth = Math.min(
        depths.get(id) ?? 0,
        nearest.get(id)?.depth ?? Number.MAX_SAFE_INTEGER,
      );
      nearest.set(id, { ref, depth });
    }
  }
  return [...nearest.values()];
}
