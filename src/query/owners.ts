import type { ClientBase } from 'pg';
import { isLoopback } from './address.ts';
import type { Span } from './coverage.ts';
import { groupBy } from './group-by.ts';
import { parseScope } from './node-ref.ts';
import {
  type AddressOwner,
  type Ownership,
  ownerChanges,
  ownersAt,
  ownershipOf,
} from './ownership.ts';

/** An end of an edge. */
export interface EdgeEnd {
  readonly address: string;
  /** The port it listens on; null for an active end. */
  readonly port: number | null;
  /** '' or what confines the address. */
  readonly scope: string;
}

/** Owners of addresses: routable ones ($1), and those local to one host each ($2 host ids, $3). */
export const OWNERS = `
SELECT host_id, host(address) AS address, netns, host_local, first_seen, last_seen FROM host_addresses
WHERE address = ANY($1::inet[]) AND NOT host_local
UNION ALL
SELECT host_id, host(address), netns, host_local, first_seen, last_seen FROM host_addresses
WHERE (host_id, address) IN (SELECT h, a FROM unnest($2::uuid[], $3::inet[]) AS u(h, a))`;

/** When agents of hosts ($1) ran: loopback is there as long as they look. */
export const AGENT_RUNS = `
SELECT host_id, first_seen, last_seen FROM host_addresses
WHERE host_id = ANY($1::uuid[]) AND netns = '' AND host(address) IN ('127.0.0.1', '::1')
ORDER BY host_id, first_seen, last_seen`;

interface OwnerRow {
  host_id: string;
  address: string;
  netns: string;
  host_local: boolean;
  first_seen: Date;
  last_seen: Date;
}

type RunRow = Pick<OwnerRow, 'host_id' | 'first_seen' | 'last_seen'>;

/** Knows who owned the addresses of edges, and when. An address is asked for once. */
export class OwnerBook {
  readonly #client: ClientBase;
  readonly #known = new Map<string, readonly Ownership[]>();
  readonly #runs = new Map<string, { fromMs: number; toMs: number }[]>();

  constructor(client: ClientBase) {
    this.#client = client;
  }

  /** Afterwards the questions below can be asked of these ends. Takes two queries at most. */
  async load(ends: readonly EdgeEnd[]): Promise<void> {
    const missing = new Map(
      ends
        .filter((end) => !isConfinedLoopback(end) && !this.#known.has(keyOf(end)))
        .map((end) => [keyOf(end), end]),
    );
    if (missing.size === 0) return;
    const asked = [...missing.values()];
    const local = asked.filter((end) => end.scope !== '');
    const { rows } = await this.#client.query<OwnerRow>(OWNERS, [
      asked.filter((end) => end.scope === '').map((end) => end.address),
      local.map((end) => parseScope(end.scope)?.hostId),
      local.map((end) => end.address),
    ]);
    await this.#loadRuns(rows.map((row) => row.host_id));
    const byAddress = groupBy(rows, (row) => row.address);
    for (const [key, end] of missing) {
      const own = (byAddress.get(end.address) ?? []).filter((row) => isCandidate(row, end));
      this.#known.set(
        key,
        unique(own).map((row) => this.#ownership(row)),
      );
    }
  }

  /** Who owned the address of an end in a window. */
  at(end: EdgeEnd, window: Span): AddressOwner[] {
    const scope = parseScope(end.scope);
    if (scope !== null && isLoopback(end.address)) return [scope];
    return ownersAt(this.#known.get(keyOf(end)) ?? [], window);
  }

  /** When, within a window, the address of an end changed hands: milliseconds since 1970. */
  changes(end: EdgeEnd, window: Span): number[] {
    return ownerChanges(this.#known.get(keyOf(end)) ?? [], window);
  }

  async #loadRuns(hostIds: readonly string[]): Promise<void> {
    const missing = [...new Set(hostIds)].filter((hostId) => !this.#runs.has(hostId));
    if (missing.length === 0) return;
    for (const hostId of missing) this.#runs.set(hostId, []);
    const { rows } = await this.#client.query<RunRow>(AGENT_RUNS, [missing]);
    for (const row of rows) {
      const [fromMs, toMs] = [row.first_seen.getTime(), row.last_seen.getTime()];
      const runs = this.#runs.get(row.host_id) ?? [];
      const last = runs.at(-1);
      // ::1 and 127.0.0.1 are of the same run.
      if (last !== undefined && fromMs <= last.toMs) last.toMs = Math.max(last.toMs, toMs);
      else runs.push({ fromMs, toMs });
    }
  }

  #ownership(row: OwnerRow): Ownership {
    const seen = { fromMs: row.first_seen.getTime(), toMs: row.last_seen.getTime() };
    const owner = { hostId: row.host_id, netns: row.netns };
    return ownershipOf(owner, seen, this.#runs.get(row.host_id) ?? []);
  }
}

function isCandidate(row: OwnerRow, end: EdgeEnd): boolean {
  const scope = parseScope(end.scope);
  if (scope === null) return !row.host_local;
  return row.host_id === scope.hostId && (scope.netns === '' || row.netns === scope.netns);
}

/** Both halves of the query may give a row. */
function unique(rows: readonly OwnerRow[]): OwnerRow[] {
  const keyed = rows.map((row) => {
    const key = `${row.host_id} ${row.netns} ${row.first_seen.getTime()}`;
    return [key, row] as const;
  });
  return [...new Map(keyed).values()];
}

/** A loopback address belongs to the scope's namespace; it need not be listed as an address. */
function isConfinedLoopback(end: EdgeEnd): boolean {
  return end.scope !== '' && isLoopback(end.address);
}

function keyOf(end: EdgeEnd): string {
  return `${end.scope}|${end.address}`;
}
