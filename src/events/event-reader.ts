import type {
  DoneFrame,
  FirstFrame,
  FlowFrame,
  FlowKey,
  Frame,
  GenerationFrame,
  Identity,
  ListenerFrame,
  ListenFrame,
} from '../bpf-ts-loader/index.ts';
import { BootClock } from './boot-clock.ts';
import type { FlowEndpoints, Losses, TraceEvent } from './event.ts';
import type { KernelIdentity } from './kernel-identity.ts';

const NO_LOSSES: Losses = {
  ringLost: 0n,
  flowsFull: 0n,
  socketsFull: 0n,
  missedProbes: 0n,
  noticesLost: 0n,
  vanished: 0n,
  namespacesFailed: 0n,
};

/**
 * Turns the frames of one run of the helper into events. A report (the answer to a request) comes
 * out at its end and in the order in which it can be understood: who listens, then the counts that
 * are named by listeners, then `reported`.
 */
export class EventReader {
  readonly #emit: (event: TraceEvent) => void;
  readonly #clock = new BootClock();
  /** FLOW frames, and the GENERATION frames that part them. */
  #flows: (FlowFrame | GenerationFrame)[] = [];
  #listeners: ListenerFrame[] = [];
  #losses = NO_LOSSES;

  constructor(emit: (event: TraceEvent) => void) {
    this.#emit = emit;
  }

  read(frame: Frame): void {
    switch (frame.type) {
      case 'hello':
        this.#clock.sync(frame.bootNs, frame.wallNs);
        break;
      case 'first':
        this.#emit(this.#first(frame));
        break;
      case 'listen':
        this.#emit(this.#listen(frame));
        break;
      case 'flow':
      case 'generation':
        this.#flows.push(frame);
        break;
      case 'listener':
        this.#listeners.push(frame);
        break;
      case 'stats': {
        const { type: _, ...losses } = frame;
        this.#losses = losses;
        break;
      }
      case 'done':
        this.#report(frame);
        break;
      case 'rung':
        break; // told with the greeting
    }
  }

  #first(frame: FirstFrame): TraceEvent {
    return {
      kind: 'first',
      atMs: this.#clock.wallMs(frame.bootNs),
      flow: endpointsOf(frame.key),
      identity: identityOf(frame.identity),
      peerPort: frame.peerPort || null,
    };
  }

  #listen(frame: ListenFrame): TraceEvent {
    const endpoint = { netns: frame.netns, address: frame.local, port: frame.port };
    const atMs = this.#clock.wallMs(frame.bootNs);
    return frame.identity === null
      ? { kind: 'listen-closed', atMs, endpoint }
      : { kind: 'listen-opened', atMs, endpoint, identity: identityOf(frame.identity) };
  }

  #report(done: DoneFrame): void {
    const [flows, listeners] = [this.#flows, this.#listeners];
    this.#flows = [];
    this.#listeners = [];
    this.#clock.sync(done.bootNs, done.wallNs);
    const atMs = this.#clock.wallMs(done.bootNs);
    if (done.snapshot) {
      this.#emit({
        kind: 'listeners',
        atMs,
        complete: !done.partial,
        listeners: listeners.map(listenerOf),
      });
    }
    for (const frame of flows) {
      this.#emit(frame.type === 'flow' ? this.#counts(frame) : generationOf(frame));
    }
    const { snapshot, partial, sockets, namespaces, generation } = done;
    const losses = this.#losses;
    const facts = { snapshot, partial, sockets, namespaces, losses, generation };
    this.#emit({ kind: 'reported', atMs, ...facts });
  }

  #counts(frame: FlowFrame): TraceEvent {
    return {
      kind: 'counts',
      firstMs: this.#clock.wallMs(frame.counts.firstNs),
      lastMs: this.#clock.wallMs(frame.counts.lastNs),
      flow: endpointsOf(frame.key),
      foundBy: frame.foundBy,
      counts: frame.counts,
    };
  }
}

function generationOf({ generation, fresh }: GenerationFrame): TraceEvent {
  return { kind: 'generation', generation, fresh };
}

function endpointsOf(key: FlowKey): FlowEndpoints {
  const { netns, direction, local, peer, servicePort, tgid, startNs } = key;
  const process = tgid === 0 ? null : { pid: tgid, startTimeNs: startNs };
  return { netns, direction, local, peer, servicePort, process };
}

function identityOf(identity: Identity): KernelIdentity {
  const { tgid, startNs, ppid, pgid, uid, comm, exe, cgroupId } = identity;
  return { pid: tgid, startTimeNs: startNs, ppid, pgid, uid, comm, exe, cgroupId };
}

function listenerOf(frame: ListenerFrame) {
  return {
    endpoint: { netns: frame.netns, address: frame.local, port: frame.port },
    owner: frame.tgid === 0 ? null : { pid: frame.tgid, startTimeNs: frame.startNs },
    shared: frame.shared,
  };
}
