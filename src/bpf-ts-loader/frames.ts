/**
 * Decoded frames, a union told apart by `type`. What the fields mean is said in
 * `bpf/transtracer.h`; here only what decoding adds.
 *
 * Fields of 64 bits are `bigint`s, smaller ones numbers. Names that end in `Ns` are nanoseconds:
 * `wallNs` since 1970, all others of the boot clock (CLOCK_BOOTTIME). Addresses are text: IPv4 (and
 * IPv4-mapped IPv6) as dotted quad, IPv6 as in RFC 5952. Ports are in host byte order.
 */

/** Direction of a connection as its local process sees it. */
export type Direction = 'unknown' | 'active' | 'passive';

/** Steps of the attach ladder, the last one is the best. */
export type Rung = 'poll' | 'tracepoint' | 'kprobe' | 'fentry';

/** How a count came to be known: a kernel event, a snapshot, a socket-destroy notice. */
export type FoundBy = 'stream' | 'snapshot' | 'destroy';

/** All connections of one process to (or at) one service endpoint; ephemeral ports folded away. */
export interface FlowKey {
  /** Start of the thread group; 0 with `tgid` 0. */
  readonly startNs: bigint;
  /** 0: not known; a passive flow is then named by its listener's owner. */
  readonly tgid: number;
  /** Inode number of the network namespace. */
  readonly netns: number;
  readonly local: string;
  readonly peer: string;
  /** Peer's port of an active flow, local port of a passive one. */
  readonly servicePort: number;
  readonly direction: Direction;
}

/** What happened in a flow since its previous report: deltas, never totals. */
export interface FlowCounts {
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  readonly bytesSent: bigint;
  readonly bytesReceived: bigint;
  readonly opened: number;
  readonly found: number;
  readonly closed: number;
  readonly refused: number;
  readonly timedOut: number;
  readonly unreachable: number;
  readonly failedOther: number;
  readonly retransmits: number;
}

/** Enough to name a process that is gone by the time anyone looks. */
export interface Identity {
  readonly startNs: bigint;
  /** Of cgroup v2. */
  readonly cgroupId: bigint;
  readonly tgid: number;
  readonly ppid: number;
  readonly pgid: number;
  /** Effective. */
  readonly uid: number;
  /** Of the thread-group leader, at most 15 bytes. */
  readonly comm: string;
  /** Absolute path; empty if unknown or too long. */
  readonly exe: string;
}

/** The helper is attached; `bootNs` and `wallNs` were read at the same moment. */
export interface HelloFrame {
  readonly type: 'hello';
  readonly abiVersion: number;
  /** The rung in use. */
  readonly rung: Rung;
  readonly bootNs: bigint;
  readonly wallNs: bigint;
  readonly pid: number;
  /** The helper's own network namespace. */
  readonly netns: number;
  readonly features: {
    readonly destroyNotices: boolean;
    readonly allNetns: boolean;
    /** Programs and counts outlive the helper. */
    readonly pinned: boolean;
    /** Programs and counts of an earlier helper were taken over. */
    readonly adopted: boolean;
  };
  /** Sizes of these frames in bytes, as the helper was compiled. */
  readonly frameSizes: {
    readonly flow: number;
    readonly first: number;
    readonly listen: number;
    readonly stats: number;
    readonly done: number;
  };
  /** Kernel release. */
  readonly release: string;
  /** Names the series of generations; 0n: nothing is pinned. */
  readonly setId: bigint;
  /** Generations up to this one found no room to be kept until somebody acknowledged them. */
  readonly droppedGeneration: bigint;
}

/** One step of the attach ladder that was tried. */
export interface RungFrame {
  readonly type: 'rung';
  readonly rung: Rung;
  /** 0: in use, else an errno. */
  readonly error: number;
  readonly text: string;
}

/** First sighting of a flow: names its process. Counts follow in FLOW frames. */
export interface FirstFrame {
  readonly type: 'first';
  readonly bootNs: bigint;
  readonly key: FlowKey;
  readonly identity: Identity;
  /** Ports of the first connection; 0 while the kernel has not chosen one. */
  readonly localPort: number;
  readonly peerPort: number;
}

export interface FlowFrame {
  readonly type: 'flow';
  readonly foundBy: readonly FoundBy[];
  readonly key: FlowKey;
  readonly counts: FlowCounts;
}

/** A process began or ceased to listen. */
export interface ListenFrame {
  readonly type: 'listen';
  readonly change: 'opened' | 'closed';
  readonly bootNs: bigint;
  readonly local: string;
  readonly netns: number;
  readonly port: number;
  /** Who called listen(); null exactly when closed. */
  readonly identity: Identity | null;
}

/** One owner of one listening socket, from a snapshot; `tgid` 0: a socket without owner. */
export interface ListenerFrame {
  readonly type: 'listener';
  /** The owner had children that could accept, too. Told where somebody has to be named by it. */
  readonly shared: boolean;
  readonly startNs: bigint;
  readonly tgid: number;
  readonly netns: number;
  readonly local: string;
  readonly port: number;
}

/** Known losses, absolute since the programs were attached. */
export interface StatsFrame {
  readonly type: 'stats';
  readonly ringLost: bigint;
  readonly flowsFull: bigint;
  readonly socketsFull: bigint;
  readonly missedProbes: bigint;
  readonly noticesLost: bigint;
  readonly vanished: bigint;
  readonly namespacesFailed: bigint;
}

/** Ends the answer to a request. */
export interface DoneFrame {
  readonly type: 'done';
  readonly requestId: bigint;
  readonly bootNs: bigint;
  readonly wallNs: bigint;
  /** Sockets looked at. */
  readonly sockets: number;
  /** Network namespaces looked into. */
  readonly namespaces: number;
  /** The LISTENER frames before this one are the complete set. */
  readonly snapshot: boolean;
  /** Something could not be read: the set is not complete. */
  readonly partial: boolean;
  /** The latest generation told; 0n in poll mode. */
  readonly generation: bigint;
}

/** The FLOW frames that follow belong to this generation: what was counted between two drains. */
export interface GenerationFrame {
  readonly type: 'generation';
  /** From 1 on; 0n: of none. */
  readonly generation: bigint;
  /** Counted by programs that were attached anew: they find what others may have counted before. */
  readonly fresh: boolean;
}

export type Frame =
  | HelloFrame
  | RungFrame
  | FirstFrame
  | FlowFrame
  | ListenFrame
  | ListenerFrame
  | StatsFrame
  | DoneFrame
  | GenerationFrame;
