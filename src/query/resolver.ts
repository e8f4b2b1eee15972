import type { ClientBase } from 'pg';
import type { Span } from './coverage.ts';
import { listenersAt } from './listener-match.ts';
import { addressRef, attributedRef, type NodeRef } from './node-ref.ts';
import type { EdgeEnd, OwnerBook } from './owners.ts';
import type { AddressOwner } from './ownership.ts';
import type { TimeRange } from './range.ts';

export interface Listener {
  readonly hostId: string;
  readonly processId: string;
  readonly address: string;
  readonly port: number;
  readonly netns: string;
  readonly firstSeen: Date;
  readonly lastSeen: Date;
}

/** Listeners on given ports of given hosts ($3, $4) that were seen listening from $1 to $2. */
export const LISTENERS = `
SELECT host_id, process_id::text, host(address) AS address, port, netns, first_seen, last_seen
FROM passive_nodes
WHERE (host_id, port) IN (SELECT h, p FROM unnest($3::uuid[], $4::int[]) AS u(h, p))
  AND last_seen >= $1 AND first_seen < $2`;

interface ListenerRow {
  host_id: string;
  process_id: string;
  address: string;
  port: number;
  netns: string;
  first_seen: Date;
  last_seen: Date;
}

/** An end that no half names, in the time it is asked for. */
export interface UnseenEnd {
  readonly end: EdgeEnd;
  readonly window: Span;
}

/**
 * Names the ends that no half names (their host saw nothing of them, or runs no agent), from who
 * owned the address at that time and listened there. It never guesses: two candidates are as good as
 * none.
 */
export class EndResolver {
  readonly #client: ClientBase;
  readonly #range: TimeRange;
  readonly #owners: OwnerBook;
  /** By host and port; none where nobody listens. */
  readonly #listeners = new Map<string, Listener[]>();

  constructor(client: ClientBase, range: TimeRange, owners: OwnerBook) {
    this.#client = client;
    this.#range = range;
    this.#owners = owners;
  }

  /** Afterwards `resolved` answers for these ends, whose owners are known. Takes one query at most. */
  async load(ends: readonly UnseenEnd[]): Promise<void> {
    const wanted = new Map<string, { readonly hostId: string; readonly port: number }>();
    for (const { end, window } of ends) {
      const { port } = end;
      if (port === null) continue;
      for (const { hostId } of this.#owners.at(end, window)) {
        const key = listenerKey(hostId, port);
        if (!this.#listeners.has(key)) wanted.set(key, { hostId, port });
      }
    }
    if (wanted.size === 0) return;
    for (const key of wanted.keys()) this.#listeners.set(key, []);
    const { rows } = await this.#client.query<ListenerRow>(LISTENERS, [
      this.#range.since,
      this.#range.until,
      [...wanted.values()].map(({ hostId }) => hostId),
      [...wanted.values()].map(({ port }) => port),
    ]);
    for (const row of rows) {
      this.#listeners.get(listenerKey(row.host_id, row.port))?.push(toListener(row));
    }
  }

  /** The node of an end. */
  resolved({ end, window }: UnseenEnd): NodeRef {
    const { address, port, scope } = end;
    const owners = this.#owners.at(end, window);
    const hostIds = new Set(owners.map((owner) => owner.hostId));
    const [hostId] = hostIds;
    if (hostId === undefined || hostIds.size > 1) return addressRef(null, address, scope);
    if (port === null) return addressRef(hostId, address, scope);
    const processIds = this.#processesAt(owners, address, port, window);
    const [processId] = processIds;
    return processId !== undefined && processIds.size === 1
      ? attributedRef(hostId, processId, address, scope)
      : addressRef(hostId, address, scope);
  }

  #processesAt(
    owners: readonly AddressOwner[],
    address: string,
    port: number,
    window: Span,
  ): Set<string> {
    const found = owners.flatMap((owner) => {
      const here = this.#listeners.get(listenerKey(owner.hostId, port)) ?? [];
      return listenersAt(owner, address, port, here);
    });
    const then = found.filter((it) => it.firstSeen <= window.to && it.lastSeen >= window.from);
    return new Set((then.length > 0 ? then : found).map((listener) => listener.processId));
  }
}

function listenerKey(hostId: string, port: number): string {
  return `${hostId} ${port}`;
}

function toListener(row: ListenerRow): Listener {
  return {
    hostId: row.host_id,
    processId: row.process_id,
    address: row.address,
    port: row.port,
    netns: row.netns,
    firstSeen: row.first_seen,
    lastSeen: row.last_seen,
  };
}
