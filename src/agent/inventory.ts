import { hashId } from '../flow/ids.ts';
import type {
  ContainerRecord,
  HostAddressRecord,
  PassiveNodeRecord,
  ProcessRecord,
} from '../flow/records.ts';
import { UNATTRIBUTED_PROCESS_ID } from '../flow/records.ts';
import type { NamedProcess } from '../process/identity.ts';
import type { Listener } from '../process/listener-registry.ts';

/** What flows refer to, as far as the CMDB does not have it yet. */
export interface InventoryRecords {
  readonly addresses: readonly HostAddressRecord[];
  readonly containers: readonly ContainerRecord[];
  readonly processes: readonly ProcessRecord[];
  readonly passiveNodes: readonly PassiveNodeRecord[];
}

/** Knows which addresses this host owns and owned. */
export interface AddressSource {
  records(nowMs: number): HostAddressRecord[];
  /** These need not be told again, unless they are still owned. */
  settled(records: readonly HostAddressRecord[]): void;
}

export interface InventoryOptions {
  readonly addresses: AddressSource;
  readonly listening: () => Iterable<Listener>;
  readonly netnsName: (netns: number) => string;
  /** How often addresses and listeners are written although nothing changed: dates their ends. */
  readonly refreshMs: number;
}

/** Of more processes those written longest ago are forgotten: they are written once more. */
const MAX_REMEMBERED = 20_000;

/** A process that flows refer to. */
interface Node {
  readonly record: ProcessRecord;
  readonly container: ContainerRecord | null;
  /** The CMDB has it not, or an earlier instance of it. */
  dirty: boolean;
}

const UNATTRIBUTED: ProcessRecord = {
  processId: UNATTRIBUTED_PROCESS_ID,
  name: '',
  exe: '',
  command: '',
  unit: '',
  containerId: null,
  uid: -1,
  userName: '',
  pid: 0,
  pgid: 0,
};

/** Keeps track of which processes, listeners and addresses are to be written with the flows. */
export class Inventory {
  readonly #options: InventoryOptions;
  /** By process id. Kept when written too: a CMDB that was replaced needs all of them again. */
  readonly #nodes = new Map<string, Node>();
  #takenAddresses: readonly HostAddressRecord[] = [];
  #writtenSurroundings = '';
  #writtenListeners = '';
  #writtenAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: InventoryOptions) {
    this.#options = options;
  }

  /**
   * A flow refers to this process.
   * @returns its node id
   */
  note(process: NamedProcess | null): string {
    const record = process?.record ?? UNATTRIBUTED;
    const { processId } = record;
    const known = this.#nodes.get(processId);
    if (known === undefined || !isSameInstance(known.record, record)) {
      this.#nodes.delete(processId); // so that the order is the order of change
      this.#nodes.set(processId, { record, container: process?.container ?? null, dirty: true });
    }
    return processId;
  }

  /** All that changed since it was last written; to be followed by one of the three below. */
  take(nowMs: number): InventoryRecords {
    const surroundings = this.#surroundings(nowMs);
    this.#takenAddresses = surroundings.addresses;
    const changed = [...this.#nodes.values()].filter((node) => node.dirty);
    for (const node of changed) node.dirty = false;
    const containers = changed.flatMap(({ container }) => container ?? []);
    return {
      ...surroundings,
      processes: changed.map((node) => node.record),
      containers: [...new Map(containers.map((each) => [each.containerId, each])).values()],
    };
  }

  /** Is there nothing to take? Addresses that came or went meanwhile are not looked for. */
  isUnchanged(nowMs: number): boolean {
    if (nowMs - this.#writtenAtMs >= this.#options.refreshMs || this.#writtenSurroundings === '')
      return false;
    for (const node of this.#nodes.values()) if (node.dirty) return false;
    return this.#writtenListeners === listenersSignature(this.#options.listening());
  }

  written(): void {
    this.#options.addresses.settled(this.#takenAddresses);
    for (const [processId, node] of this.#nodes) {
      if (this.#nodes.size <= MAX_REMEMBERED) return;
      if (!node.dirty) this.#nodes.delete(processId);
    }
  }

  /** Not written: to be taken again. */
  failed({ processes }: InventoryRecords): void {
    for (const { processId } of processes) {
      const node = this.#nodes.get(processId);
      if (node !== undefined) node.dirty = true;
    }
    this.#writtenSurroundings = '';
  }

  /** Refused: taken again only when an event refers to it anew. */
  rejected({ processes }: InventoryRecords): void {
    for (const { processId } of processes) {
      if (this.#nodes.get(processId)?.dirty === false) this.#nodes.delete(processId);
    }
  }

  /** The CMDB has lost what it was given. */
  forgetWritten(): void {
    for (const node of this.#nodes.values()) node.dirty = true;
    this.#writtenSurroundings = '';
  }

  #surroundings(nowMs: number): Pick<InventoryRecords, 'addresses' | 'passiveNodes'> {
    const addresses = this.#options.addresses.records(nowMs);
    const passiveNodes = [...this.#options.listening()].flatMap((each) => this.#nodesOf(each));
    // Not when they were last seen: that alone is no change.
    const owned = addresses.map(({ lastSeen: _, ...owned }) => owned);
    const signature = JSON.stringify([owned, passiveNodes.map((node) => node.nodeId).sort()]);
    const isDue = nowMs - this.#writtenAtMs >= this.#options.refreshMs;
    this.#writtenListeners = listenersSignature(this.#options.listening());
    if (signature === this.#writtenSurroundings && !isDue)
      return { addresses: [], passiveNodes: [] };
    this.#writtenSurroundings = signature;
    this.#writtenAtMs = nowMs;
    return { addresses, passiveNodes };
  }

  #nodesOf({ endpoint, owners, firstSeenMs, lastSeenMs }: Listener): PassiveNodeRecord[] {
    const netns = this.#options.netnsName(endpoint.netns);
    const { address, port } = endpoint;
    const processIds =
      owners.length > 0 ? owners.map((owner) => this.note(owner)) : [this.note(null)];
    return [...new Set(processIds)].map((processId) => ({
      nodeId: hashId('listener', processId, address, port, netns),
      processId,
      address,
      port,
      netns,
      firstSeen: new Date(firstSeenMs),
      lastSeen: new Date(lastSeenMs),
    }));
  }
}

/** Equal when the same processes listen at the same endpoints. */
function listenersSignature(listeners: Iterable<Listener>): string {
  const lines = [...listeners].map(({ endpoint: { netns, address, port }, owners }) =>
    [netns, address, port, ...owners.map(({ record }) => record.processId).sort()].join(' '),
  );
  return lines.sort().join('\n');
}

function isSameInstance(a: ProcessRecord, b: ProcessRecord): boolean {
  return a === b || (a.pid === b.pid && a.pgid === b.pgid && a.name === b.name);
}
