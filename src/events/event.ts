import type { FlowCounts, FlowKey, FoundBy, StatsFrame } from '../bpf-ts-loader/index.ts';
import type { KernelIdentity } from './kernel-identity.ts';

/** A process as events refer to it; `startTimeNs` tells instances of a reused pid apart. */
export interface ProcessRef {
  readonly pid: number;
  readonly startTimeNs: bigint;
}

/** A flow as one end of it sees it, before its process has a name. */
export interface FlowEndpoints {
  /** Inode number of the network namespace. */
  readonly netns: number;
  readonly direction: FlowKey['direction'];
  readonly local: string;
  readonly peer: string;
  readonly servicePort: number;
  /** null: not known which process. */
  readonly process: ProcessRef | null;
}

/** The first connection of a flow has just begun, and this is who is behind it. */
export interface FirstEvent {
  readonly kind: 'first';
  readonly atMs: number;
  readonly flow: FlowEndpoints;
  readonly identity: KernelIdentity;
  /** Peer's port of that connection, null where the kernel has not chosen one. */
  readonly peerPort: number | null;
}

/**
 * What happened in a flow since its previous report, by events and by snapshots alike: deltas.
 */
export interface CountsEvent {
  readonly kind: 'counts';
  readonly firstMs: number;
  readonly lastMs: number;
  readonly flow: FlowEndpoints;
  readonly foundBy: readonly FoundBy[];
  readonly counts: FlowCounts;
}

/** The counts that follow belong to this generation (see `GenerationFrame`). */
export interface GenerationEvent {
  readonly kind: 'generation';
  readonly generation: bigint;
  readonly fresh: boolean;
}

export interface ListeningEndpoint {
  readonly netns: number;
  readonly address: string;
  readonly port: number;
}

/** A process began to listen, told as it happened. */
export interface ListenOpenedEvent {
  readonly kind: 'listen-opened';
  readonly atMs: number;
  readonly endpoint: ListeningEndpoint;
  readonly identity: KernelIdentity;
}

export interface ListenClosedEvent {
  readonly kind: 'listen-closed';
  readonly atMs: number;
  readonly endpoint: ListeningEndpoint;
}

/** The LISTEN set of a snapshot, each entry with one owner (several entries for several owners). */
export interface ListenersEvent {
  readonly kind: 'listeners';
  readonly atMs: number;
  /** False: something could not be read, so what is missing here may still listen. */
  readonly complete: boolean;
  readonly listeners: readonly {
    readonly endpoint: ListeningEndpoint;
    readonly owner: ProcessRef | null;
    /** Children of the owner could accept, too. */
    readonly shared: boolean;
  }[];
}

/** Ends a report: everything counted up to now has been told. */
export interface ReportedEvent {
  readonly kind: 'reported';
  readonly atMs: number;
  readonly snapshot: boolean;
  readonly partial: boolean;
  readonly sockets: number;
  readonly namespaces: number;
  /** Known losses since the programs were attached, absolute. */
  readonly losses: Losses;
  /** The latest generation told; 0n in poll mode. */
  readonly generation: bigint;
}

export type Losses = Omit<StatsFrame, 'type'>;

export type TraceEvent =
  | FirstEvent
  | CountsEvent
  | GenerationEvent
  | ListenOpenedEvent
  | ListenClosedEvent
  | ListenersEvent
  | ReportedEvent;
