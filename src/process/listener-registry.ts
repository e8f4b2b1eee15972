import type { ListeningEndpoint } from '../events/event.ts';
import type { NamedProcess } from './identity.ts';

/** Someone listens, or lately listened, at an endpoint. */
export interface Listener {
  readonly endpoint: ListeningEndpoint;
  /** Processes that hold the socket; several for pre-forked servers and SO_REUSEPORT. */
  readonly owners: readonly NamedProcess[];
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
}

interface Entry {
  readonly endpoint: ListeningEndpoint;
  owners: NamedProcess[];
  /** Of the owners those whose children could accept, too. */
  sharers: ReadonlySet<NamedProcess>;
  /** Nodes that were seen to accept here, by id. */
  readonly acceptors: Map<string, NamedProcess>;
  readonly firstSeenMs: number;
  lastSeenMs: number;
  closed: boolean;
  /** A snapshot has shown its owners; until then only who called listen() is known. */
  confirmed: boolean;
}

/** A closed listener still names connections that outlived it, for this long. */
const RETAIN_CLOSED_MS = 10 * 60_000;

/**
 * Who listens where. Names passive connections whose accepting process the kernel could not tell,
 * and is the source of the CMDB's passive nodes.
 */
export class ListenerRegistry {
  /** By {@link placeOf}, then by address: looked into for each passive connection. */
  readonly #entries = new Map<number, Map<string, Entry>>();
  #replacedMs = 0;

  /** A process called listen(). */
  opened(endpoint: ListeningEndpoint, owner: NamedProcess, atMs: number): void {
    const entry = this.#entry(endpoint, atMs);
    entry.owners = entry.closed ? [owner] : [...entry.owners, owner];
    entry.confirmed &&= !entry.closed;
    entry.closed = false;
    entry.lastSeenMs = atMs;
  }

  closed(endpoint: ListeningEndpoint, atMs: number): void {
    const { netns, address, port } = endpoint;
    const entry = this.#entries.get(placeOf(netns, port))?.get(address);
    if (entry !== undefined) {
      entry.closed = true;
      entry.lastSeenMs = atMs;
    }
  }

  /**
   * Takes over what a snapshot shows.
   * @param complete false: endpoints that it lacks may still be there
   */
  replace(
    listeners: readonly {
      readonly endpoint: ListeningEndpoint;
      readonly owner: NamedProcess | null;
      readonly shared: boolean;
    }[],
    complete: boolean,
    atMs: number,
  ): void {
    const shown = new Map<Entry, NamedProcess[]>();
    const sharers = new Set<NamedProcess>();
    for (const { endpoint, owner, shared } of listeners) {
      const entry = this.#entry(endpoint, atMs);
      const owners = shown.get(entry) ?? [];
      if (owner !== null) owners.push(owner);
      if (owner !== null && shared) sharers.add(owner);
      shown.set(entry, owners);
    }
    for (const entry of this.#all()) {
      const owners = shown.get(entry);
      if (owners !== undefined) {
        // That one had children stays true, also where it is not told again.
        entry.sharers = new Set(
          owners.filter((owner) => sharers.has(owner) || entry.sharers.has(owner)),
        );
        entry.owners = owners;
        entry.lastSeenMs = atMs;
        entry.closed = false;
        entry.confirmed = true;
      } else if (complete && entry.lastSeenMs <= this.#replacedMs) {
        entry.closed = true; // not what began to listen while the snapshot was taken
      }
      if (entry.closed && atMs - entry.lastSeenMs > RETAIN_CLOSED_MS) this.#forget(entry);
    }
    this.#replacedMs = atMs;
  }

  /** A connection at this endpoint is known to belong to this process. */
  accepted(netns: number, address: string, port: number, process: NamedProcess): void {
    this.#find(netns, address, port)?.acceptors.set(process.record.processId, process);
  }

  /**
   * The process that accepts at an address, null when that cannot be told: nobody is known to listen
   * there, owners of different nodes do, or one whose children might have, as long as nobody was seen
   * to accept.
   */
  ownerOf(netns: number, address: string, port: number): NamedProcess | null {
    const entry = this.#find(netns, address, port);
    if (entry === undefined) return null;
    const acceptors = [...entry.acceptors.values()].filter((it) => couldAccept(it, entry.owners));
    if (acceptors.length > 0) return onlyNode(acceptors);
    const owners = leaves(entry.owners);
    return owners.some((owner) => entry.sharers.has(owner)) ? null : onlyNode(owners);
  }

  /**
   * All that listen now, as far as a snapshot has shown who holds their sockets: whoever calls
   * listen() often hands the socket to workers at once.
   */
  *listening(): Iterable<Listener> {
    for (const { closed, confirmed, ...listener } of this.#all()) {
      if (!closed && confirmed) yield { ...listener, owners: leaves(listener.owners) };
    }
  }

  *#all(): Iterable<Entry> {
    for (const there of this.#entries.values()) yield* there.values();
  }

  #forget({ endpoint: { netns, address, port } }: Entry): void {
    const place = placeOf(netns, port);
    const there = this.#entries.get(place);
    there?.delete(address);
    if (there?.size === 0) this.#entries.delete(place);
  }

  #entry(endpoint: ListeningEndpoint, atMs: number): Entry {
    const place = placeOf(endpoint.netns, endpoint.port);
    const there = this.#entries.get(place) ?? new Map<string, Entry>();
    this.#entries.set(place, there);
    let entry = there.get(endpoint.address);
    if (entry === undefined) {
      entry = {
        endpoint,
        owners: [],
        sharers: new Set(),
        acceptors: new Map(),
        firstSeenMs: atMs,
        lastSeenMs: atMs,
        closed: false,
        confirmed: false,
      };
      there.set(endpoint.address, entry);
    }
    return entry;
  }

  /**
   * As the kernel looks a listener up: the address itself before any wildcard. One that has closed
   * counts only where nobody else listens now.
   */
  #find(netns: number, address: string, port: number): Entry | undefined {
    const there = this.#entries.get(placeOf(netns, port));
    if (there === undefined) return undefined;
    let closed: Entry | undefined;
    for (const candidate of addressesFor(address)) {
      const entry = there.get(candidate);
      if (entry?.closed === false) return entry;
      closed ??= entry;
    }
    return closed;
  }
}

/** A socket of `::` accepts IPv4 too unless it was told not to; one of `0.0.0.0` never IPv6. */
function addressesFor(address: string): readonly string[] {
  return address.includes(':') ? [address, '::'] : [address, '0.0.0.0', '::'];
}

/** Whoever accepted before may have been another server's process, which was here before this one. */
function couldAccept(process: NamedProcess, owners: readonly NamedProcess[]): boolean {
  const { processId } = process.record;
  const isOneOf = ({ record }: NamedProcess): boolean =>
    record.processId === processId || record.pid === process.ppid;
  return owners.length === 0 || owners.some(isOneOf);
}

/** A port of a namespace as one number: the inode number of a namespace has 32 bits. */
function placeOf(netns: number, port: number): number {
  return netns * 65_536 + port;
}

/**
 * Of a family of processes that share a socket only the descendants accept: a master opens it and
 * hands it to its workers, an init system to the service.
 */
function leaves(owners: readonly NamedProcess[]): NamedProcess[] {
  const parents = new Set(owners.map((owner) => owner.ppid));
  const workers = owners.filter((owner) => !parents.has(owner.record.pid));
  return workers.length > 0 ? workers : [...owners];
}

/** The process, if all are instances of one node. */
function onlyNode(processes: readonly NamedProcess[]): NamedProcess | null {
  const [first] = processes;
  if (first === undefined) return null;
  const { processId } = first.record;
  return processes.every((process) => process.record.processId === processId) ? first : null;
}
