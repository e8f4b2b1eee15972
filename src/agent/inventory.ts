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

export interface InventoryOptions {
  readonly addresses: () => HostAddressRecord[];
  readonly listening: () => Iterable<Listener>;
  readonly netnsName: (netns: number) => string;
  /** How often addresses and listeners are written although nothing changed: dates their ends. */
  readonly refreshMs: number;
}

/** More nodes than this and the memory of what was written starts anew: some are written twice. */
const MAX_REMEMBERED = 20_000;

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
  readonly #processes = new Map<string, ProcessRecord>();
  readonly #containers = new Map<string, ContainerRecord>();
  /** What was written, by node id: a node is written again when it has a new instance. */
  readonly #written = new Map<string, string>();
  #writtenSurroundings = '';
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
    if (this.#written.get(processId) !== signatureOf(record)) {
      this.#processes.set(processId, record);
      if (process?.container)
        this.#containers.set(process.container.containerId, process.container);
    }
    return processId;
  }

  take(nowMs: number): InventoryRecords {
    const surroundings = this.#surroundings(nowMs);
    const records = {
      ...surroundings,
      processes: [...this.#processes.values()],
      containers: [...this.#containers.values()],
    };
    this.#processes.clear();
    this.#containers.clear();
    return records;
  }

  written({ processes }: InventoryRecords): void {
    if (this.#written.size > MAX_REMEMBERED) this.#written.clear();
    for (const record of processes) this.#written.set(record.processId, signatureOf(record));
  }

  failed({ processes, containers }: InventoryRecords): void {
    for (const record of processes) {
      if (!this.#processes.has(record.processId)) this.#processes.set(record.processId, record);
    }
    for (const record of containers) this.#containers.set(record.containerId, record);
    this.#writtenSurroundings = '';
  }

  /** The CMDB has lost what it was given. */
  forgetWritten(): void {
    this.#written.clear();
    this.#writtenSurroundings = '';
  }

  #surroundings(nowMs: number): Pick<InventoryRecords, 'addresses' | 'passiveNodes'> {
    const addresses = this.#options.addresses();
    const passiveNodes = [...this.#options.listening()].flatMap((each) => this.#nodesOf(each));
    const signature = JSON.stringify([addresses, passiveNodes.map((node) => node.nodeId).sort()]);
    const isDue = nowMs - this.#writtenAtMs >= this.#options.refreshMs;
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

function signatureOf(record: ProcessRecord): string {
  return `${record.pid} ${record.pgid} ${record.name}`;
}
