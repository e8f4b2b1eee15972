import type { ClientBase } from 'pg';
import { isLoopback } from './address.ts';
import { listenersAt } from './listener-match.ts';
import { addressRef, attributedRef, type NodeRef, parseScope } from './node-ref.ts';
import type { TimeRange } from './range.ts';

/** An end of an edge that no half names: its host saw nothing of it, or runs no agent. */
export interface UnseenEnd {
  readonly address: string;
  /** The port it listens on; null for an active end. */
  readonly port: number | null;
  readonly scope: string;
}

/** Where an address lives: a host's network namespace. */
export interface AddressOwner {
  readonly hostId: string;
  readonly netns: string;
}

export interface Listener {
  readonly hostId: string;
  readonly processId: string;
  readonly address: string;
  readonly port: number;
  readonly netns: string;
}

/**
 * Owners of addresses that were first seen before $1: routable ones ($2), and host-local ones of
 * one host each ($3 host ids, $4 addresses).
 */
export const OWNERS = `
SELECT host_id, host(address) AS address, netns, host_local, last_seen FROM host_addresses
WHERE address = ANY($2::inet[]) AND NOT host_local AND first_seen < $1
UNION ALL
SELECT host_id, host(address), netns, host_local, last_seen FROM host_addresses
WHERE (host_id, address) IN (SELECT h, a FROM unnest($3::uuid[], $4::inet[]) AS u(h, a))
  AND first_seen < $1`;

/** Listeners on given ports of given hosts ($3, $4) that were seen listening from $1 to $2. */
export const LISTENERS = `
SELECT host_id, process_id::text, host(address) AS address, port, netns FROM passive_nodes
WHERE (host_id, port) IN (SELECT h, p FROM unnest($3::uuid[], $4::int[]) AS u(h, p))
  AND last_seen >= $1 AND first_seen < $2`;

interface OwnerRow {
  host_id: string;
  address: string;
  netns: string;
  host_local: boolean;
  last_seen: Date;
}

interface ListenerRow {
  host_id: string;
  process_id: string;
  address: string;
  port: number;
  netns: string;
}

/**
 * Names the ends that no half names, from who owned the address and who listened there. It never
 * guesses: two candidates are as good as none. Answers are kept, so one address is asked for once.
 */
export class EndResolver {
  readonly #client: ClientBase;
  readonly #range: TimeRange;
  readonly #known = new Map<string, NodeRef>();

  constructor(client: ClientBase, range: TimeRange) {
    this.#client = client;
    this.#range = range;
  }

  /** Resolves all ends with at most two queries; afterwards `resolved` answers for each of them. */
  async load(ends: readonly UnseenEnd[]): Promise<void> {
    const missing = new Map(
      ends.map((end) => [endKey(end), end] as const).filter(([key]) => !this.#known.has(key)),
    );
    if (missing.size === 0) return;
    const owners = await this.#loadOwners([...missing.values()]);
    const listeners = await this.#loadListeners(owners);
    for (const [key, end] of missing) {
      this.#known.set(key, nameEnd(end, owners.get(end) ?? [], listeners));
    }
  }

  /** The node of an end given to `load` before. */
  resolved(end: UnseenEnd): NodeRef {
    return this.#known.get(endKey(end)) ?? addressRef(null, end.address, end.scope);
  }

  async #loadOwners(ends: readonly UnseenEnd[]): Promise<Map<UnseenEnd, AddressOwner[]>> {
    const asked = ends.filter((end) => !isConfinedLoopback(end));
    const routable = asked.filter((end) => end.scope === '');
    const local = asked.filter((end) => end.scope !== '');
    const { rows } =
      asked.length === 0
        ? { rows: [] }
        : await this.#client.query<OwnerRow>(OWNERS, [
            this.#range.until,
            routable.map((end) => end.address),
            local.map((end) => parseScope(end.scope)?.hostId),
            local.map((end) => end.address),
          ]);
    return new Map(ends.map((end) => [end, this.#ownersOf(end, rows)]));
  }

  #ownersOf(end: UnseenEnd, rows: readonly OwnerRow[]): AddressOwner[] {
    const scope = parseScope(end.scope);
    if (scope !== null && isLoopback(end.address)) return [scope];
    const candidates = rows.filter(
      (row) =>
        row.address === end.address &&
        (scope === null
          ? !row.host_local
          : row.host_id === scope.hostId && (scope.netns === '' || row.netns === scope.netns)),
    );
    return latestOwners(candidates, this.#range.since);
  }

  async #loadListeners(owners: ReadonlyMap<UnseenEnd, AddressOwner[]>): Promise<Listener[]> {
    const wanted = [...owners].flatMap(([end, ends]) =>
      end.port === null ? [] : ends.map((owner) => ({ hostId: owner.hostId, port: end.port })),
    );
    if (wanted.length === 0) return [];
    const { rows } = await this.#client.query<ListenerRow>(LISTENERS, [
      this.#range.since,
      this.#range.until,
      wanted.map(({ hostId }) => hostId),
      wanted.map(({ port }) => port),
    ]);
    return rows.map((row) => ({
      hostId: row.host_id,
      processId: row.process_id,
      address: row.address,
      port: row.port,
      netns: row.netns,
    }));
  }
}

function endKey(end: UnseenEnd): string {
  return `${end.scope}|${end.address}|${end.port ?? ''}`;
}

/** A loopback address belongs to the scope's namespace; it need not be listed as an address. */
function isConfinedLoopback(end: UnseenEnd): boolean {
  return end.scope !== '' && isLoopback(end.address);
}

/** Those who still owned the address in the range; if none did, those who owned it last. */
function latestOwners(rows: readonly OwnerRow[], since: Date): AddressOwner[] {
  const within = rows.filter((row) => row.last_seen >= since);
  const latest = Math.max(...rows.map((row) => row.last_seen.getTime()));
  const chosen =
    within.length > 0 ? within : rows.filter((row) => row.last_seen.getTime() === latest);
  return chosen.map((row) => ({ hostId: row.host_id, netns: row.netns }));
}

function nameEnd(
  end: UnseenEnd,
  owners: readonly AddressOwner[],
  listeners: readonly Listener[],
): NodeRef {
  const hostIds = new Set(owners.map((owner) => owner.hostId));
  const [hostId] = hostIds;
  if (hostId === undefined || hostIds.size > 1) return addressRef(null, end.address, end.scope);
  const { port } = end;
  if (port === null) return addressRef(hostId, end.address, end.scope);
  const processIds = new Set(
    owners.flatMap((owner) =>
      listenersAt(owner, end.address, port, listeners).map((listener) => listener.processId),
    ),
  );
  const [processId] = processIds;
  return processId !== undefined && processIds.size === 1
    ? attributedRef(hostId, processId, end.address, end.scope)
    : addressRef(hostId, end.address, end.scope);
}
