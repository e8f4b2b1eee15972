import type { CountsEvent, FlowEndpoints } from '../events/event.ts';
import { type Bounded, boundBacklog } from './backlog.ts';
import { type Bucket, sharedDates } from './bucket.ts';
import { Flow, type FlowIdentity } from './flow.ts';
import { type Edge, edgeIdOf, hashId } from './ids.ts';
import type { FlowRecord, Side } from './records.ts';
import { isHostLocal, netnsLabel, scopeOf } from './scope.ts';

export interface FlowTableOptions {
  readonly hostId: string;
  /** Length of a time slice of history, milliseconds. */
  readonly bucketMs: number;
  /** The most flows held at once; further ones are counted as lost. */
  readonly maxFlows?: number;
  /** Which addresses mean something on this host only; by default loopback and link-local ones. */
  readonly networks?: HostLocality;
  /** The agent's start, milliseconds since 1970; later epochs follow when the clock is set back. */
  readonly epoch?: number;
}

/** Knows the addresses of this host and its local networks. */
export interface HostLocality {
  isLocal(address: string): boolean;
  /** A flow has this local address: it may be new here. */
  noteLocal(endpoints: FlowEndpoints, atMs: number): void;
}

const NO_NETWORKS: HostLocality = { isLocal: isHostLocal, noteLocal: () => undefined };

/** Flows handed out to be written; given back with {@link FlowTable.failed} if that fails. */
export interface TakenFlows {
  readonly records: readonly FlowRecord[];
  readonly taken: readonly TakenFlow[];
}

interface TakenFlow {
  readonly flow: Flow;
  readonly buckets: readonly Bucket[];
}

/** Open connections by flow id: what the next agent must know to count none of them again. */
export type OpenConnections = Readonly<Record<string, number>>;

const DEFAULT_MAX_FLOWS = 250_000;

/**
 * All flows of this host since the agent's start: the one owner of what was counted. Bounded by
 * distinct flows, however many connections they have. Totals are absolute, so that writing them
 * twice changes nothing.
 */
export class FlowTable {
  readonly #options: Required<FlowTableOptions>;
  /** By {@link keyOf}: cheaper than the ids, and as unique. */
  readonly #flows = new Map<string, Flow>();
  readonly #restored = new Map<string, number>();
  /** The restored ones have been watched all the time. */
  #restoredAreOpen = false;
  /** No flow begins a bucket before this one: rows of forgotten flows hold its totals. */
  #forgottenUntilMs = 0;
  /** The bucket that `roll` was at last. */
  #currentMs = 0;
  /** null: still the agent's. */
  #epoch: number | null = null;
  #homeNetns = 0;
  /** Handed out, and what became of it not known yet. */
  #writing: TakenFlows | null = null;
  #overflowed = 0n;
  #unknownDirection = 0n;

  constructor(options: FlowTableOptions) {
    this.#options = { maxFlows: DEFAULT_MAX_FLOWS, networks: NO_NETWORKS, epoch: 0, ...options };
  }

  get size(): number {
    return this.#flows.size;
  }

  /** Reports that found the table full. */
  get overflowed(): bigint {
    return this.#overflowed;
  }

  /** Connections left out because neither events nor the LISTEN set told who opened them. */
  get unknownDirection(): bigint {
    return this.#unknownDirection;
  }

  /** Inode number of the network namespace that counts as the host's own. */
  setHomeNetns(netns: number): void {
    this.#homeNetns = netns;
  }

  /** `''` for the host's own network namespace, `net:INUM` for another. */
  netnsName(netns: number): string {
    return netnsLabel(netns, this.#homeNetns);
  }

  /**
   * A flow that has just begun; makes sure that it is in the table.
   * @returns the flow if it is new, else null
   */
  announce(endpoints: FlowEndpoints, processId: string, atMs: number): Flow | null {
    const before = this.#flows.size;
    const flow = this.#flowOf(endpoints, processId, atMs);
    return flow !== null && this.#flows.size > before ? flow : null;
  }

  /** Adds what a report tells of a flow. */
  add(event: CountsEvent, processId: string): Flow | null {
    const { counts, flow: endpoints, firstMs, lastMs, foundBy } = event;
    const flow = this.#flowOf(endpoints, processId, firstMs);
    if (flow === null) {
      if (endpoints.direction === 'unknown') {
        this.#unknownDirection += BigInt(counts.opened + counts.found);
      }
      return null;
    }
    flow.roll(lastMs, this.#options.bucketMs);
    flow.add(counts, firstMs, lastMs, foundBy);
    return flow;
  }

  /** Begins new buckets and forgets flows with nothing more to tell. */
  roll(nowMs: number): void {
    const { bucketMs } = this.#options;
    const currentMs = Math.floor(nowMs / bucketMs) * bucketMs;
    // Further back than a late report reaches: the clock was set back.
    if (currentMs < this.#currentMs - bucketMs) this.#rewind(nowMs);
    this.#currentMs = currentMs;
    for (const [key, flow] of this.#flows) {
      // A flow whose write is under way may have to be written again.
      if (this.#writing === null && flow.isIdle(currentMs)) {
        this.#flows.delete(key);
        this.#forgottenUntilMs = currentMs;
      } else {
        flow.roll(nowMs, bucketMs);
      }
    }
  }

  /** Is there anything that waits to be written? */
  get isDirty(): boolean {
    for (const flow of this.#flows.values()) if (flow.isDirty) return true;
    return false;
  }

  /** Buckets that wait to be written. */
  get waiting(): number {
    let waiting = 0;
    for (const flow of this.#flows.values()) waiting += flow.waiting;
    return waiting;
  }

  /** Keeps what waits within a bound; between `failed` and the next `takeChanged` only. */
  bound(maxBuckets: number): Bounded {
    const { bucketMs } = this.#options;
    return boundBacklog(this.#flows.values(), { maxBuckets, bucketMs, currentMs: this.#currentMs });
  }

  /** What comes from now on has rows of its own: those of the time to come again may exist. */
  #rewind(nowMs: number): void {
    const { bucketMs, epoch } = this.#options;
    const next = (this.#epoch ?? epoch) + 1;
    this.#epoch = next;
    this.#forgottenUntilMs = 0;
    for (const flow of this.#flows.values()) flow.rewind(nowMs, bucketMs, next);
  }

  /** Nobody watches for now: open connections may close unseen. */
  suspend(): void {
    this.#restoredAreOpen = false;
    for (const flow of this.#flows.values()) flow.suspend();
  }

  /** A complete snapshot was reported: what it did not find again has closed. */
  settle(): void {
    for (const flow of this.#flows.values()) flow.settle();
    this.#restored.clear();
  }

  /** What is open now, for the next agent. */
  openConnections(): OpenConnections {
    const open = [...this.#flows.values()].filter((flow) => flow.openOrSuspended > 0);
    return Object.fromEntries([
      ...this.#restored,
      ...open.map((flow) => [flow.identity.flowId, flow.openOrSuspended] as const),
    ]);
  }

  /** Takes over what the previous agent left open; the first snapshot settles it. */
  restore(open: OpenConnections): void {
    for (const [flowId, count] of Object.entries(open)) this.#restored.set(flowId, count);
  }

  /**
   * What the previous agent left open was watched in between: it is open unless its closing is told.
   * To be called before any event.
   */
  trustRestored(): void {
    this.#restoredAreOpen = true;
  }

  /** All that changed since it was last written; to be followed by `written` or `failed`. */
  takeChanged(): TakenFlows {
    const { bucketMs } = this.#options;
    const dateOf = sharedDates();
    const records: FlowRecord[] = [];
    const taken: TakenFlow[] = [];
    for (const flow of this.#flows.values()) {
      if (!flow.isDirty) continue;
      records.push(flow.record(bucketMs, dateOf));
      taken.push({ flow, buckets: flow.takeDirty() });
    }
    this.#writing = { records, taken };
    return this.#writing;
  }

  /** All that was taken is there. */
  written(): void {
    for (const { buckets } of this.#writing?.taken ?? []) {
      for (const bucket of buckets) bucket.mayHaveRow = true;
    }
    this.#writing = null;
  }

  /**
   * The taken flows were not written: they will be taken again.
   * @param maybeWritten nobody knows
   * @param writtenFlows how many of them, from the first, were written all the same
   */
  failed({ taken }: TakenFlows, { maybeWritten = false, writtenFlows = 0 } = {}): void {
    this.#writing = null;
    for (const [index, { flow, buckets }] of taken.entries()) {
      const isWritten = index < writtenFlows;
      if (maybeWritten || isWritten) for (const bucket of buckets) bucket.mayHaveRow = true;
      if (!isWritten) flow.markDirty(buckets);
    }
  }

  /** The CMDB has lost what it was given: every flow is written again. */
  markAll(): void {
    for (const flow of this.#flows.values()) flow.markAll();
  }

  #flowOf(endpoints: FlowEndpoints, processId: string, atMs: number): Flow | null {
    const { direction } = endpoints;
    if (direction === 'unknown') return null;
    // First, since what it learns may decide the scope.
    this.#options.networks.noteLocal(endpoints, atMs);
    const edge = this.#edgeOf(endpoints, direction);
    const key = keyOf(edge, direction, processId);
    const known = this.#flows.get(key);
    if (known !== undefined) return known;
    if (this.#flows.size >= this.#options.maxFlows) {
      this.#overflowed += 1n;
      return null;
    }
    const { bucketMs } = this.#options;
    const identity = identityOf(edge, direction, processId);
    const startMs = Math.max(Math.floor(atMs / bucketMs) * bucketMs, this.#forgottenUntilMs);
    const flow = new Flow(identity, atMs, startMs, this.#epoch);
    const restored = this.#restored.get(identity.flowId) ?? 0;
    if (this.#restoredAreOpen) flow.carry(restored);
    else flow.restore(restored);
    this.#restored.delete(identity.flowId);
    this.#flows.set(key, flow);
    return flow;
  }

  #edgeOf({ local, peer, netns, servicePort }: FlowEndpoints, side: Side): Edge {
    const { hostId, networks } = this.#options;
    const activeAddress = side === 'active' ? local : peer;
    const passiveAddress = side === 'active' ? peer : local;
    const scope = scopeOf({
      hostId,
      netns: this.netnsName(netns),
      activeAddress,
      passiveAddress,
      isLocal: (address) => networks.isLocal(address),
    });
    return { scope, activeAddress, passiveAddress, passivePort: servicePort };
  }
}

function keyOf(edge: Edge, side: Side, processId: string): string {
  const { scope, activeAddress, passiveAddress, passivePort } = edge;
  // Joined, since what a template makes is kept as the tree of its parts: four times as large.
  return [side, processId, activeAddress, passiveAddress, passivePort, scope].join(' ');
}

function identityOf(edge: Edge, side: Side, processId: string): FlowIdentity {
  const edgeId = edgeIdOf(edge);
  const { scope, activeAddress, passiveAddress, passivePort } = edge;
  const flowId = hashId(edgeId, side, processId);
  // Field by field: what a spread begins takes more memory, and a host has many flows.
  return { flowId, edgeId, side, processId, scope, activeAddress, passiveAddress, passivePort };
}
