/**
 * Offsets, sizes and numbers of the helper's frames: the mirror of `bpf/transtracer.h`, and nothing
 * else. All offsets are bytes from the start of the struct they are listed under; those of a frame
 * count its header. A unit test compiles the header and compares every number here with it.
 */

/** `TT_ABI_VERSION`. */
export const ABI_VERSION = 2;

/** `struct tt_frame`: opens every frame, both ways. */
export const HEADER = { size: 8, length: 0, type: 4, flags: 6 } as const;

/** `enum tt_frame_type`, helper to agent. */
export const FRAME_TYPE = {
  hello: 1,
  rung: 2,
  first: 3,
  flow: 4,
  listen: 5,
  listener: 6,
  stats: 7,
  done: 8,
  generation: 9,
} as const;

/** `enum tt_frame_type`, agent to helper. */
export const REQUEST_TYPE = { drain: 64, snapshot: 65, acknowledge: 66 } as const;

/** `TT_LISTENER_SHARED`, a flag of a LISTENER frame. */
export const LISTENER_SHARED = 1;

/** `TT_SNAPSHOT_*`: bits in the flags of a snapshot request. */
export const SNAPSHOT_BIT = { owners: 1, last: 2 } as const;

/** `enum tt_direction`. */
export const DIRECTION = { unknown: 0, active: 1, passive: 2 } as const;

/** `enum tt_rung`. */
export const RUNG_NUMBER = { poll: 0, tracepoint: 1, kprobe: 2, fentry: 3 } as const;

/** `enum tt_listen_change`: the flags of a LISTEN frame. */
export const LISTEN_CHANGE = { opened: 1, closed: 2 } as const;

/** `enum tt_found_by`: bits in the flags of a FLOW frame. */
export const FOUND_BY_BIT = { stream: 1, snapshot: 2, destroy: 4 } as const;

/** `enum tt_feature`: bits in HELLO's features. */
export const FEATURE_BIT = { destroyNotices: 1, allNetns: 2, pinned: 4, adopted: 8 } as const;

/** `TT_DONE_*`: bits in the flags of a DONE frame. */
export const DONE_BIT = { snapshot: 1, partial: 2 } as const;

/** Every address: 16 bytes, IPv4 as `::ffff:a.b.c.d`. */
export const ADDRESS_SIZE = 16;

/** `struct tt_flow_key`. */
export const FLOW_KEY = {
  size: 56,
  startNs: 0,
  tgid: 8,
  netns: 12,
  local: 16,
  peer: 32,
  servicePort: 48,
  direction: 50,
} as const;

/** `struct tt_flow_counts`. */
export const FLOW_COUNTS = {
  size: 64,
  firstNs: 0,
  lastNs: 8,
  bytesSent: 16,
  bytesReceived: 24,
  opened: 32,
  found: 36,
  closed: 40,
  refused: 44,
  timedOut: 48,
  unreachable: 52,
  failedOther: 56,
  retransmits: 60,
} as const;

/** `struct tt_identity`. */
export const IDENTITY = {
  size: 304,
  startNs: 0,
  cgroupId: 8,
  tgid: 16,
  ppid: 20,
  pgid: 24,
  uid: 28,
  comm: 32,
  commSize: 16,
  exe: 48,
  exeSize: 256,
} as const;

/** `struct tt_hello`. */
export const HELLO = {
  size: 136,
  abiVersion: 8,
  rung: 12,
  bootNs: 16,
  wallNs: 24,
  pid: 32,
  netns: 36,
  features: 40,
  flowFrameSize: 44,
  firstFrameSize: 46,
  listenFrameSize: 48,
  statsFrameSize: 50,
  doneFrameSize: 52,
  release: 56,
  releaseSize: 64,
  setId: 120,
  droppedGeneration: 128,
} as const;

/** `struct tt_rung_frame`. */
export const RUNG = { size: 272, rung: 8, error: 12, text: 16, textSize: 256 } as const;

/** `struct tt_first_frame`. */
export const FIRST = {
  size: 384,
  bootNs: 8,
  key: 16,
  identity: 72,
  localPort: 376,
  peerPort: 378,
} as const;

/** `struct tt_flow_frame`. */
export const FLOW = { size: 128, key: 8, counts: 64 } as const;

/** `struct tt_listen_frame`. */
export const LISTEN = {
  size: 344,
  bootNs: 8,
  local: 16,
  netns: 32,
  port: 36,
  identity: 40,
} as const;

/** `struct tt_listener_frame`. */
export const LISTENER = {
  size: 48,
  startNs: 8,
  tgid: 16,
  netns: 20,
  local: 24,
  port: 40,
} as const;

/** `struct tt_stats_frame`. */
export const STATS = {
  size: 64,
  ringLost: 8,
  flowsFull: 16,
  socketsFull: 24,
  missedProbes: 32,
  noticesLost: 40,
  vanished: 48,
  namespacesFailed: 56,
} as const;

/** `struct tt_done_frame`. */
export const DONE = {
  size: 48,
  requestId: 8,
  bootNs: 16,
  wallNs: 24,
  sockets: 32,
  namespaces: 36,
  generation: 40,
} as const;

/** `struct tt_generation_frame`. */
export const GENERATION = { size: 16, generation: 8 } as const;

/** `TT_GENERATION_FRESH`, a flag of a GENERATION frame. */
export const GENERATION_FRESH = 1;

/** `struct tt_request`. */
export const REQUEST = { size: 16, requestId: 8 } as const;
