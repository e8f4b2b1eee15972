import type { ClientBase } from 'pg';
import type { BucketRange } from './buckets.ts';
import type { Span } from './coverage.ts';
import { groupBy } from './group-by.ts';
import { type Half, isFailing, loadAllHalves, loadHalves } from './halves.ts';
import { endScope } from './node-ref.ts';
import { type EdgeEnd, OwnerBook } from './owners.ts';
import { type Link, mergeLinks, pairHalves } from './pairing.ts';
import type { TimeRange } from './range.ts';
import { EndResolver, type UnseenEnd } from './resolver.ts';
import { type Era, loadSlices, splitByOwner } from './slices.ts';

/** The eras of one edge; nearly always one, since its addresses stay where they are. */
type Eras = readonly Era[];

/** Loads edges as links between nodes, each edge once. */
export class LinkStore {
  readonly #client: ClientBase;
  readonly #range: BucketRange;
  readonly #owners: OwnerBook;
  readonly #resolver: EndResolver;
  readonly #links = new Map<string, readonly Link[]>();

  constructor(client: ClientBase, range: BucketRange) {
    this.#client = client;
    this.#range = range;
    this.#owners = new OwnerBook(client);
    this.#resolver = new EndResolver(client, range, this.#owners);
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
    const edges = await this.#split(groupBy(halves, (half) => half.edgeId));
    await this.#resolver.load([...edges.values()].flat().flatMap(unseenEnds));
    for (const [edgeId, eras] of edges) {
      this.#links.set(edgeId, mergeLinks(eras.map((era) => this.#pair(era))));
    }
  }

  #pair({ halves, window }: Era): Link[] {
    const [half] = halves;
    if (half === undefined) return [];
    const active = this.#resolver.resolved({ end: activeEnd(half), window });
    const passive = this.#resolver.resolved({ end: passiveEnd(half), window });
    return pairHalves(halves, active, passive);
  }

  /** Edges by eras; only those with an address that changed hands are looked at bucket by bucket. */
  async #split(edges: ReadonlyMap<string, Half[]>): Promise<Map<string, Eras>> {
    await this.#owners.load([...edges.values()].flatMap(endsOf));
    const changes = new Map<string, number[]>();
    const eras = new Map<string, Eras>();
    for (const [edgeId, halves] of edges) {
      const window = useOf(halves, this.#range);
      const found = endsOf(halves).flatMap((end) => this.#owners.changes(end, window));
      if (found.length > 0)
        changes.set(
          edgeId,
          [...new Set(found)].sort((a, b) => a - b),
        );
      else eras.set(edgeId, [{ window, halves }]);
    }
    const slices = await loadSlices(this.#client, this.#range, [...changes.keys()]);
    for (const [edgeId, moments] of changes) {
      eras.set(edgeId, splitByOwner(slices.get(edgeId) ?? [], moments));
    }
    return eras;
  }
}

/** Buckets may reach beyond a range; when the edge was first and last in use is known better. */
export function isWithin(link: Link, { since, until }: TimeRange): boolean {
  return link.firstSeen < until && (link.lastSeen >= since || link.open > 0n);
}

/** When an edge was in use in the range, as far as is known. */
function useOf(halves: readonly Half[], { since, until }: TimeRange): Span {
  const first = Math.min(...halves.map((half) => half.firstSeen.getTime()));
  const last = Math.max(...halves.map((half) => half.lastSeen.getTime()));
  const isOpen = halves.some((half) => half.open > 0n);
  const from = Math.min(Math.max(first, since.getTime()), until.getTime());
  const to = isOpen ? until.getTime() : Math.min(last, until.getTime());
  return { from: new Date(from), to: new Date(Math.max(from, to)) };
}

function endsOf(halves: readonly Half[]): EdgeEnd[] {
  const [half] = halves;
  return half === undefined ? [] : [activeEnd(half), passiveEnd(half)];
}

function unseenEnds({ halves, window }: Era): UnseenEnd[] {
  const [half] = halves;
  if (half === undefined) return [];
  const activeSeen = halves.some((other) => other.side === 'A' && !isFailing(other));
  const passiveSeen = halves.some((other) => other.side === 'P');
  const ends = [
    ...(activeSeen ? [] : [activeEnd(half)]),
    ...(passiveSeen ? [] : [passiveEnd(half)]),
  ];
  return ends.map((end) => ({ end, window }));
}

function activeEnd(half: Half): EdgeEnd {
  return { address: half.activeAddress, port: null, scope: endScope(half.scope, 'active') };
}

function passiveEnd(half: Half): EdgeEnd {
  const scope = endScope(half.scope, 'passive');
  return { address: half.passiveAddress, port: half.passivePort, scope };
}
