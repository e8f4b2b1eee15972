import { FlowTable, type OpenConnections, type TakenFlows } from '../../../src/flow/flow-table.ts';
import { BUCKET_MS, counted, FakeCmdb, HOST_ID, START_MS } from './support.ts';

export type Step =
  | { readonly do: 'open' | 'close' | 'fail' | 'move'; readonly port: number; readonly n: number }
  | { readonly do: 'tick'; readonly ms: number }
  /** The clock is set, forward or back. */
  | { readonly do: 'set-clock'; readonly ms: number }
  | { readonly do: 'report'; readonly split: boolean }
  | { readonly do: 'take' | 'crash' | 'recover' | 'restart' | 'kill' }
  | { readonly do: 'end-write'; readonly outcome: 'written' | 'failed' | 'answer lost' };

/** An agent's own epochs follow its first where the clock is set back. */
const FIRST_EPOCH = 1_000;
const EPOCH_STEP = 1_000;

interface Connection {
  /** The helper counts it: saw it open, or found it. */
  tracked: boolean;
  /** A report told the agent of it. */
  known: boolean;
}

/** One service as the helper counts it, and what is true of it. */
class Service {
  readonly port: number;
  open: Connection[] = [];
  /** Since the previous report. */
  opened: Connection[] = [];
  found: Connection[] = [];
  closed = 0;
  refused = 0;
  bytes = 0n;
  firstMs: number | null = null;
  lastMs = 0;

  /** Connections the agent was told of. */
  known = 0;
  /** Of those, the ones whose end it was not told of. */
  endedUnseen = 0;
  /** What the agent was told. */
  reportedRefused = 0;
  reportedBytes = 0n;

  constructor(port: number) {
    this.port = port;
  }

  touch(atMs: number): void {
    this.firstMs ??= atMs;
    this.lastMs = atMs;
  }

  /** Times are converted from those of the kernel when they are reported. */
  shift(ms: number): void {
    if (this.firstMs !== null) this.firstMs += ms;
    this.lastMs += ms;
  }

  forget(): void {
    this.opened = [];
    this.found = [];
    this.closed = 0;
    this.refused = 0;
    this.bytes = 0n;
    this.firstMs = null;
  }
}

/**
 * A host with real (if simulated) connections, a helper that counts them, an agent with a flow table
 * and a CMDB; helper, agent and CMDB may fail at any time.
 */
export class Simulation {
  readonly cmdb = new FakeCmdb();
  readonly services = [80, 81].map((port) => new Service(port));
  #epoch = FIRST_EPOCH;
  table = newTable(this.#epoch);
  #nowMs = 0;
  #watching = true;
  #taken: TakenFlows | null = null;
  #saved: OpenConnections = {};

  run(steps: readonly Step[]): void {
    for (const step of steps) this.#take(step);
    if (!this.#watching) this.#recover();
    this.#report(false);
    this.#writeAll();
  }

  flowId(port: number): string {
    const flow = newTable(0).add(counted({}, 0, 0, { servicePort: port }), 'p');
    return flow?.identity.flowId ?? '';
  }

  #take(step: Step): void {
    switch (step.do) {
      case 'tick':
        this.#nowMs += step.ms;
        break;
      case 'set-clock':
        this.#nowMs += step.ms;
        for (const service of this.services) service.shift(step.ms);
        break;
      case 'report':
        if (this.#watching) this.#report(step.split);
        break;
      case 'take':
        this.#taken ??= this.table.takeChanged();
        break;
      case 'end-write':
        this.#endWrite(step.outcome);
        break;
      case 'crash':
        this.#crash();
        break;
      case 'recover':
        if (!this.#watching) this.#recover();
        break;
      case 'restart':
        this.#writeAll();
        this.#saved = this.table.openConnections();
        this.#nextAgent();
        break;
      case 'kill':
        this.#nextAgent(); // what this one had not written is lost
        break;
      default:
        this.#traffic(step.do, step.port, step.n);
    }
  }

  #traffic(what: 'open' | 'close' | 'fail' | 'move', port: number, n: number): void {
    const service = this.services[port % this.services.length];
    if (service === undefined) return;
    if (this.#watching) service.touch(this.#nowMs);
    if (what === 'fail' && this.#watching) service.refused += n;
    if (what === 'move' && this.#watching) service.bytes += BigInt(n);
    for (let i = 0; i < n; i++) {
      if (what === 'open') this.#open(service);
      if (what === 'close') close(service);
    }
  }

  #open(service: Service): void {
    const connection = { tracked: this.#watching, known: false };
    service.open.push(connection);
    if (this.#watching) service.opened.push(connection);
  }

  #report(split: boolean): void {
    for (const service of this.services) {
      if (service.firstMs === null) continue;
      const { opened, found, closed, refused, bytes, firstMs, lastMs, port } = service;
      const [begun, over] = [
        { opened: opened.length, found: found.length },
        { closed, refused, bytesSent: bytes },
      ];
      for (const counts of split ? [begun, over] : [{ ...begun, ...over }]) {
        this.table.add(counted(counts, firstMs, lastMs, { servicePort: port }), 'p');
      }
      for (const connection of [...opened, ...found]) {
        if (!connection.known) service.known += 1;
        connection.known = true;
      }
      service.reportedRefused += refused;
      service.reportedBytes += bytes;
      service.forget();
    }
    this.table.roll(START_MS + this.#nowMs);
  }

  /** Counts that were not reported are lost with the helper. */
  #crash(): void {
    for (const service of this.services) {
      service.endedUnseen += service.closed;
      service.forget();
      for (const connection of service.open) connection.tracked = false;
    }
    this.#watching = false;
    this.table.suspend();
  }

  #recover(): void {
    this.#watching = true;
    for (const service of this.services) {
      for (const connection of service.open) {
        if (!connection.tracked) service.found.push(connection);
        connection.tracked = true;
      }
      if (service.found.length > 0) service.touch(this.#nowMs);
    }
    this.#report(false);
    this.table.settle();
  }

  #nextAgent(): void {
    this.#crash(); // its helper ends with it
    this.#taken = null;
    this.#epoch += EPOCH_STEP;
    this.table = newTable(this.#epoch);
    this.table.restore(this.#saved);
  }

  #endWrite(outcome: 'written' | 'failed' | 'answer lost'): void {
    const taken = this.#taken;
    if (taken === null) return;
    this.#taken = null;
    if (outcome !== 'failed') this.cmdb.write(taken.records, this.#epoch);
    if (outcome !== 'written') {
      this.table.failed(taken);
      return;
    }
    this.table.written();
    this.#saved = this.table.openConnections();
  }

  #writeAll(): void {
    this.#endWrite('failed');
    this.#taken = this.table.takeChanged();
    this.#endWrite('written');
  }
}

function newTable(epoch: number): FlowTable {
  const table = new FlowTable({ hostId: HOST_ID, bucketMs: BUCKET_MS, epoch });
  table.setHomeNetns(1);
  return table;
}

/** The oldest connection ends. */
function close(service: Service): void {
  const connection = service.open.shift();
  if (connection === undefined) return;
  if (connection.tracked) service.closed += 1;
  else if (connection.known) service.endedUnseen += 1;
}
