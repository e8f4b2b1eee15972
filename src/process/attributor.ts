import type { FlowEndpoints, ProcessRef, TraceEvent } from '../events/event.ts';
import { MAX_KERNEL_FLOWS } from '../events/kernel-limits.ts';
import type { KernelIdentity, NamedProcess } from './identity.ts';
import { ListenerRegistry } from './listener-registry.ts';
import { RecentMap } from './recent-map.ts';

/** What the attributor needs of a {@link ProcessNamer}. */
export interface Namer {
  fromKernel(identity: KernelIdentity): NamedProcess;
  fromPid(pid: number, startTimeNs: bigint): NamedProcess | 'vanished';
  lookup(pid: number, startTimeNs: bigint): NamedProcess | undefined;
}

/** Says which process is behind each event; null where saying so would be guessing. */
export class Attributor {
  readonly listeners = new ListenerRegistry();
  readonly #namer: Namer;
  /**
   * Who announced a flow, as long as the kernel takes it for announced. Counts come later: by then the process may have executed another program, or
   * another one have its pid, too soon for /proc to tell them apart.
   */
  readonly #announced = new RecentMap<string, NamedProcess>(MAX_KERNEL_FLOWS);
  #unattributed = 0;

  constructor(namer: Namer) {
    this.#namer = namer;
  }

  /** Flows whose process stayed unknown, counted once a report. */
  get unattributed(): number {
    return this.#unattributed;
  }

  /** Takes what an event tells of listeners. */
  observe(event: TraceEvent): void {
    switch (event.kind) {
      case 'listen-opened':
        this.listeners.opened(event.endpoint, this.#namer.fromKernel(event.identity), event.atMs);
        break;
      case 'listen-closed':
        this.listeners.closed(event.endpoint, event.atMs);
        break;
      case 'listeners':
        this.listeners.replace(
          event.listeners.map(({ endpoint, owner, shared }) => ({
            endpoint,
            owner: owner === null ? null : this.#byRef(owner),
            shared,
          })),
          event.complete,
          event.atMs,
        );
        break;
      case 'first':
      case 'counts':
      case 'generation':
      case 'reported':
        break;
    }
  }

  /** The process of a flow that has just been announced with its identity. */
  announced(flow: FlowEndpoints, identity: KernelIdentity): NamedProcess {
    const process = this.#namer.fromKernel(identity);
    this.#announced.set(keyOf(flow), process);
    this.#noteAcceptor(flow, process);
    return process;
  }

  /**
   * The process of a flow that was counted: as the event says, else for a passive flow whoever
   * accepts at its endpoint.
   */
  counted(flow: FlowEndpoints): NamedProcess | null {
    const process = flow.process === null ? null : this.#processOf(flow, flow.process);
    if (process !== null) {
      this.#noteAcceptor(flow, process);
      return process;
    }
    const owner =
      flow.direction === 'passive'
        ? this.listeners.ownerOf(flow.netns, flow.local, flow.servicePort)
        : null;
    if (owner === null) this.#unattributed += 1;
    return owner;
  }

  #noteAcceptor(flow: FlowEndpoints, process: NamedProcess): void {
    if (flow.direction === 'passive') {
      this.listeners.accepted(flow.netns, flow.local, flow.servicePort, process);
    }
  }

  #processOf(flow: FlowEndpoints, process: ProcessRef): NamedProcess | null {
    return this.#announced.get(keyOf(flow)) ?? this.#byRef(process);
  }

  #byRef({ pid, startTimeNs }: ProcessRef): NamedProcess | null {
    const known = this.#namer.lookup(pid, startTimeNs);
    if (known !== undefined) return known;
    const found = this.#namer.fromPid(pid, startTimeNs);
    return found === 'vanished' ? null : found;
  }
}

function keyOf({ process, netns, direction, local, peer, servicePort }: FlowEndpoints): string {
  const { pid = 0, startTimeNs = 0n } = process ?? {};
  // Joined, since what a template makes is kept as the tree of its parts.
  return [pid, startTimeNs, netns, direction, local, peer, servicePort].join(' ');
}
