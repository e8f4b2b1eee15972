import type { Flow } from '../flow/flow.ts';
import type { NamedProcess } from '../process/identity.ts';

interface Told {
  readonly process: NamedProcess | null;
  readonly peerPort: number | null;
  /** What was printed last, so that only changes are. */
  line: string;
}

/** Prints flows as JSON lines: each when it is first seen, and when it changed at a flush. */
export class JsonlOutput {
  readonly #stdout: Pick<NodeJS.WritableStream, 'write'>;
  readonly #hostId: string;
  readonly #told = new WeakMap<Flow, Told>();
  readonly #changed = new Set<Flow>();

  constructor(stdout: Pick<NodeJS.WritableStream, 'write'>, hostId: string) {
    this.#stdout = stdout;
    this.#hostId = hostId;
  }

  /** A new flow. */
  firstSeen(flow: Flow, process: NamedProcess | null, peerPort: number | null): void {
    this.#told.set(flow, { process, peerPort, line: '' });
    this.#print(flow);
  }

  changed(flow: Flow, process: NamedProcess | null): void {
    if (!this.#told.has(flow)) this.#told.set(flow, { process, peerPort: null, line: '' });
    this.#changed.add(flow);
  }

  flush(): void {
    for (const flow of this.#changed) this.#print(flow);
    this.#changed.clear();
  }

  #print(flow: Flow): void {
    const told = this.#told.get(flow);
    if (told === undefined) return;
    const line = JSON.stringify(this.#fields(flow, told));
    if (line === told.line) return;
    told.line = line;
    this.#stdout.write(`${line}\n`);
  }

  #fields(flow: Flow, { process, peerPort }: Told) {
    const { side, processId, scope, activeAddress, passiveAddress, passivePort } = flow.identity;
    const node = `${this.#hostId}:${processId}`;
    return {
      event: 'flow',
      direction: side,
      process: process?.record.name ?? null,
      exe: process?.record.exe ?? null,
      pid: process?.record.pid ?? null,
      peerPort,
      active: side === 'active' ? node : null,
      passive: side === 'passive' ? node : null,
      proto: 'tcp',
      activeAddress,
      passiveAddress,
      passivePort,
      scope,
      connections: flow.opened,
      failed: flow.failed,
      failures: flow.failures,
      open: flow.open,
      bytesToPassive: jsonCount(flow.bytesToPassive),
      bytesToActive: jsonCount(flow.bytesToActive),
      firstSeen: new Date(flow.firstSeenMs).toISOString(),
      lastSeen: new Date(flow.lastSeenMs).toISOString(),
      seenBy: side,
      foundBy: flow.foundBy,
    };
  }
}

/** A number as long as JSON readers take it for what it is, beyond that a string. */
function jsonCount(count: bigint): number | string {
  return count <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(count) : count.toString();
}
