import type { ClientBase } from 'pg';
import { assembleGraph } from './assemble.ts';
import { withBuckets } from './buckets.ts';
import type { Graph, GraphEdge } from './graph.ts';
import { isWithin, LinkStore } from './links.ts';
import type { NodeRef } from './node-ref.ts';
import type { Link } from './pairing.ts';

/** What happened since the previous look: edges seen for the first time, and those used again. */
export interface LiveGraph extends Graph {
  readonly edges: readonly LiveEdge[];
}

export interface LiveEdge extends GraphEdge {
  /** `new`: unknown before the watch began; `used`: opened, closed or failed since the last look. */
  readonly event: 'new' | 'used';
}

interface Ends extends Pick<GraphEdge, 'activeAddress' | 'passiveAddress' | 'passivePort'> {
  readonly active: string | NodeRef;
  readonly passive: string | NodeRef;
}

/** History that is looked at; a look reads all of it, so it moves along. */
const WINDOW_MS = 600_000;

/**
 * Finds what changed between looks at the CMDB. It remembers the edges of the last minutes (ten to
 * twenty) and nothing else.
 */
export class LiveView {
  readonly #startedAt: Date;
  #since: Date;
  #known: ReadonlyMap<string, string> | null = null;

  constructor(now: Date) {
    this.#startedAt = now;
    this.#since = new Date(now.getTime() - WINDOW_MS);
  }

  /** What changed since the last look; the first one only remembers. Counts are of the window. */
  async look(client: ClientBase, now: Date): Promise<LiveGraph> {
    const range = { since: this.#since, until: now };
    const links = await loadLinks(client, range);
    const known = this.#known;
    const changed =
      known === null ? [] : links.filter((link) => known.get(link.key) !== stateOf(link));
    const fresh = new Set(
      changed
        .filter((link) => !known?.has(link.key) && link.firstSeen >= this.#startedAt)
        .map(endsOf),
    );
    this.#known = statesOf(links);
    if (now.getTime() - this.#since.getTime() > 2 * WINDOW_MS) await this.#moveOn(client, now);
    const refs = new Map(
      changed.flatMap((link) => [link.active, link.passive]).map((ref) => [ref.id, ref] as const),
    );
    const graph = await assembleGraph(client, range, {
      nodes: [...refs.values()].map((ref) => ({ ref, depth: 0 })),
      links: changed,
      endpoints: [],
      hostIds: [],
    });
    const edges = graph.edges.map((edge): LiveEdge => {
      return { ...edge, event: fresh.has(endsOf(edge)) ? 'new' : 'used' };
    });
    return { ...graph, edges };
  }

  /** Counts are of the window: those of a later one are learnt without a word. */
  async #moveOn(client: ClientBase, now: Date): Promise<void> {
    this.#since = new Date(now.getTime() - WINDOW_MS);
    this.#known = statesOf(await loadLinks(client, { since: this.#since, until: now }));
  }
}

async function loadLinks(
  client: ClientBase,
  range: { readonly since: Date; readonly until: Date },
): Promise<Link[]> {
  const links = await new LinkStore(client, await withBuckets(client, range)).loadAll();
  return links.filter((link) => isWithin(link, range));
}

function stateOf(link: Link): string {
  return `${link.connections}|${link.failed}|${link.open}`;
}

function statesOf(links: readonly Link[]): Map<string, string> {
  return new Map(links.map((link) => [link.key, stateOf(link)]));
}

/** What tells links and edges apart, in the same words for both. */
function endsOf({ active, passive, activeAddress, passiveAddress, passivePort }: Ends): string {
  const id = (end: string | NodeRef): string => (typeof end === 'string' ? end : end.id);
  return [id(active), id(passive), activeAddress, passiveAddress, passivePort].join('|');
}
