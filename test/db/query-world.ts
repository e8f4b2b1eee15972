import { createHash, randomUUID } from 'node:crypto';
import type pg from 'pg';
import { CmdbWriter } from '../../src/cmdb/writer.ts';
import type {
  CoverageRecord,
  FlowBucketRecord,
  FlowRecord,
  FlushBatch,
  FoundBy,
  HostAddressRecord,
  PassiveNodeRecord,
  ProcessRecord,
  Side,
} from '../../src/flow/records.ts';
import { silentLog } from '../support/postgres.ts';

/** Noon, at which buckets of five minutes begin. */
export const NOON = new Date('2025-06-01T12:00:00Z');

/** `minutes` after noon. */
export function at(minutes: number): Date {
  return new Date(NOON.getTime() + minutes * 60_000);
}

/** The hour around which tests ask unless they cut buckets: all of the default bucket and more. */
export const HOUR = { since: at(-30), until: at(30) };

/** What a bucket holds besides nothing. `at` is in minutes after noon. */
export interface BucketOf extends Partial<Omit<FlowBucketRecord, 'bucketStart'>> {
  readonly at?: number;
}

export interface FlowOf {
  readonly side: Side;
  /** Name of a process of the host; '' is the unattributed one. */
  readonly process: string;
  readonly active: string;
  readonly passive: string;
  readonly port: number;
  /** 'local' confines the flow to the host; 'local/net:1' to a namespace of it. */
  readonly scope?: string;
  readonly foundBy?: readonly FoundBy[];
  readonly buckets?: readonly BucketOf[];
  readonly firstSeen?: Date;
  readonly lastSeen?: Date;
}

const SEEN = { firstSeen: at(0), lastSeen: at(5) };

/** Signed 64-bit hash in decimal, as the agent computes its ids. */
function id(...parts: readonly unknown[]): string {
  return createHash('sha256').update(parts.join('|')).digest().readBigInt64BE().toString();
}

/** One host whose agent writes what a test says it saw. */
export class WorldHost {
  readonly hostId = randomUUID();
  readonly name: string;
  #addresses: HostAddressRecord[];
  readonly #processes = new Map<string, ProcessRecord>();
  readonly #listeners: PassiveNodeRecord[] = [];
  readonly #flows: FlowRecord[] = [];
  readonly #coverage: CoverageRecord[] = [];

  constructor(name: string, addresses: readonly string[]) {
    this.name = name;
    const local = ['127.0.0.1', '::1'];
    this.#addresses = [...addresses, ...local].map((address) => ({
      address,
      netns: '',
      hostLocal: local.includes(address),
      firstSeen: at(-120),
      lastSeen: at(120),
    }));
    this.process('', { processId: '0', uid: -1, pgid: 0 });
  }

  /** Owned from one time to another, in minutes after noon. */
  address(address: string, netns: string, hostLocal: boolean, from = -120, to = 120): this {
    this.#addresses.push({
      address,
      netns,
      hostLocal,
      firstSeen: at(from),
      lastSeen: at(to),
    });
    return this;
  }

  /** When agents ran here, in minutes after noon; by default all the time. */
  loopback(...runs: readonly (readonly [number, number])[]): this {
    const local = ['127.0.0.1', '::1'];
    this.#addresses = this.#addresses.filter(({ address }) => !local.includes(address));
    for (const [from, to] of runs) {
      for (const address of local) this.address(address, '', true, from, to);
    }
    return this;
  }

  process(name: string, fields: Partial<ProcessRecord> = {}): this {
    this.#processes.set(name, {
      processId: id(this.hostId, name),
      name,
      exe: name === '' ? '' : `/usr/bin/${name}`,
      command: name,
      unit: '',
      containerId: null,
      uid: 33,
      userName: 'www-data',
      pid: 100,
      pgid: 100,
      ...fields,
    });
    return this;
  }

  processId(name: string): string {
    const known = this.#processes.get(name);
    if (known === undefined) throw new Error(`no process ${name} on ${this.name}`);
    return known.processId;
  }

  /** Id the graph gives a process of this host. */
  node(name: string): string {
    return `${this.hostId}:${this.processId(name)}`;
  }

  listen(process: string, address: string, port: number, netns = '', seen = SEEN): this {
    const processId = this.processId(process);
    const nodeId = id(processId, address, port, netns);
    this.#listeners.push({ nodeId, processId, address, port, netns, ...seen });
    return this;
  }

  flow(flow: FlowOf): this {
    const { side, active, passive, port } = flow;
    const scope = (flow.scope ?? '').replace(/^local/, this.hostId);
    const edgeId = id('tcp', active, passive, port, scope);
    const processId = this.processId(flow.process);
    this.#flows.push({
      flowId: id(edgeId, side, processId),
      edgeId,
      side,
      processId,
      scope,
      activeAddress: active,
      passiveAddress: passive,
      passivePort: port,
      firstSeen: flow.firstSeen ?? SEEN.firstSeen,
      lastSeen: flow.lastSeen ?? SEEN.lastSeen,
      foundBy: flow.foundBy ?? ['stream'],
      buckets: (flow.buckets ?? [{ opened: 1 }]).map(toBucket),
    });
    return this;
  }

  covered(coverage: Partial<CoverageRecord> = {}): this {
    this.#coverage.push({
      from: at(-120),
      to: at(120),
      mode: 'stream',
      attach: 'fentry',
      lost: 0n,
      missedProbes: 0n,
      note: '',
      gap: false,
      ...coverage,
    });
    return this;
  }

  batch(epoch: number): FlushBatch {
    return {
      host: {
        hostId: this.hostId,
        name: this.name,
        bootId: null,
        agentVersion: '0.1.0',
        kernelRelease: '6.1.0',
      },
      epoch,
      at: at(5),
      addresses: this.#addresses,
      containers: [...this.#processes.values()].flatMap(({ containerId }) =>
        containerId === null ? [] : [{ containerId, runtime: 'docker' }],
      ),
      processes: [...this.#processes.values()],
      passiveNodes: this.#listeners,
      flows: this.#flows,
      coverage: this.#coverage,
    };
  }
}

function toBucket({ at: minutes = 0, ...fields }: BucketOf): FlowBucketRecord {
  return {
    bucketStart: at(minutes),
    bucketSeconds: 300,
    opened: 0,
    openAtStart: 0,
    openMax: 0,
    openNow: 0,
    failedRefused: 0,
    failedTimedOut: 0,
    failedUnreachable: 0,
    failedOther: 0,
    bytesToPassive: 0n,
    bytesToActive: 0n,
    retransmits: 0,
    ...fields,
  };
}

/** Writes what the hosts saw through the agent's own writer. */
export async function writeWorld(
  config: pg.ClientConfig,
  hosts: readonly WorldHost[],
  epoch = 1,
): Promise<void> {
  const writer = new CmdbWriter({ config, log: silentLog });
  try {
    for (const host of hosts) await writer.write(host.batch(epoch));
  } finally {
    await writer.close();
  }
}
