import type { ClientBase } from 'pg';
import { groupBy } from './group-by.ts';
import { type Half, loadAllHalves, loadHalves } from './halves.ts';
import { endScope } from './node-ref.ts';
import { isFailing, type Link, pairHalves } from './pairing.ts';
import type { TimeRange } from './range.ts';
import { EndResolver, type UnseenEnd } from './resolver.ts';

/** Loads edges as links between nodes, each edge once. */
export class LinkStore {
  readonly #client: ClientBase;
  readonly #range: TimeRange;
  readonly #resolver: EndResolver;
  readonly #links = new Map<string, readonly Link[]>();

  constructor(client: ClientBase, range: TimeRange) {
    this.#client = client;
    this.#range = range;
    this.#resolver = new EndResolver(client, range);
  }

  /** The links of the given edges that were in use in the range. */
  async load(edgeIds: readonly string[]): Promise<Link[]> {
    const missing = edgeIds.filter((edgeId) => !this.#links.has(edgeId));
    for (const edgeId of missing) this.#links.set(edgeId, []);
    await this.#add(await loadHalves(this.#client, this.#range, missing));
    return edgeIds.flatMap((edgeId) => this.#links.get(edgeId) ?? []);
  }

  /** Every link that was in use in the range. */
  async loadAll(): Promise<Link[]> {
    await this.#add(await loadAllHalves(this.#client, this.#range));
    return [...this.#links.values()].flat();
  }

  async #add(halves: readonly Half[]): Promise<void> {
    const edges = groupBy(halves, (half) => half.edgeId);
    await this.#resolver.load([...edges.values()].flatMap(unseenEnds));
    for (const [edgeId, group] of edges) {
      const [half] = group;
      if (half === undefined) continue;
      const active = this.#resolver.resolved(activeEnd(half));
      const passive = this.#resolver.resolved(passiveEnd(half));
      this.#links.set(edgeId, pairHalves(group, active, passive));
    }
  }
}

/** Buckets may reach beyond a range; when the edge was first and last in use is known better. */
export function isWithin(link: Link, { since, until }: TimeRange): boolean {
  return link.firstSeen < until && (link.lastSeen >= since || link.open > 0n);
}

function unseenEnds(halves: readonly Half[]): UnseenEnd[] {
  const [half] = halves;
  if (half === undefined) return [];
  const activeSeen = halves.some((other) => other.side === 'A' && !isFailing(other));
  const passiveSeen = halves.some((other) => other.side === 'P');
  return [...(activeSeen ? [] : [activeEnd(half)]), ...(passiveSeen ? [] : [passiveEnd(half)])];
}

function activeEnd(half: Half): UnseenEnd {
  return { address: half.activeAddress, port: null, scope: endScope(half.scope, 'active') };
}

function passiveEnd(half: Half): UnseenEnd {
  const scope = endScope(half.scope, 'passive');
  return { address: half.passiveAddress, port: half.passivePort, scope };
}
