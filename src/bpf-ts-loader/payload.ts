import { FieldReader, nameOf, namesByNumber, UnknownValueError } from './fields.ts';
import type {
  Direction,
  DoneFrame,
  FirstFrame,
  FlowCounts,
  FlowFrame,
  FlowKey,
  FoundBy,
  Frame,
  GenerationFrame,
  HelloFrame,
  Identity,
  ListenerFrame,
  ListenFrame,
  Rung,
  RungFrame,
  StatsFrame,
} from './frames.ts';
import {
  DIRECTION,
  DONE,
  DONE_BIT,
  FEATURE_BIT,
  FIRST,
  FLOW,
  FLOW_COUNTS,
  FLOW_KEY,
  FOUND_BY_BIT,
  FRAME_TYPE,
  GENERATION,
  GENERATION_FRESH,
  HEADER,
  HELLO,
  IDENTITY,
  LISTEN,
  LISTEN_CHANGE,
  LISTENER,
  LISTENER_SHARED,
  RUNG,
  RUNG_NUMBER,
  STATS,
} from './layout.ts';

/** Size of each frame by its type's number; undefined for a type that a helper never sends. */
export const FRAME_SIZES: ReadonlyMap<number, number> = new Map<number, number>([
  [FRAME_TYPE.hello, HELLO.size],
  [FRAME_TYPE.rung, RUNG.size],
  [FRAME_TYPE.first, FIRST.size],
  [FRAME_TYPE.flow, FLOW.size],
  [FRAME_TYPE.listen, LISTEN.size],
  [FRAME_TYPE.listener, LISTENER.size],
  [FRAME_TYPE.stats, STATS.size],
  [FRAME_TYPE.done, DONE.size],
  [FRAME_TYPE.generation, GENERATION.size],
]);

const DIRECTIONS = namesByNumber<Direction>(DIRECTION);
const RUNGS = namesByNumber<Rung>(RUNG_NUMBER);

/** Shared by all frames with the same flags, so that the hot path makes no array. */
const FOUND_BY_SETS: readonly (readonly FoundBy[])[] = [0, 1, 2, 3, 4, 5, 6, 7].map((bits) =>
  (['stream', 'snapshot', 'destroy'] as const).filter((name) => bits & FOUND_BY_BIT[name]),
);
const NO_SET: readonly FoundBy[] = [];

/**
 * Turns the bytes of one whole frame, header and size already checked, into its object. Bits of
 * flags that are not known are left out of account; numbers of enums that are not known are refused.
 */
export class PayloadReader {
  readonly #fields: FieldReader;

  constructor(littleEndian: boolean) {
    this.#fields = new FieldReader(littleEndian);
  }

  /**
   * @param view the bytes, with the frame's header `at`
   * @throws UnknownValueError
   */
  read(view: DataView, at: number): Frame {
    const type = this.#fields.u16(view, at + HEADER.type);
    switch (type) {
      case FRAME_TYPE.flow:
        return this.#flow(view, at);
      case FRAME_TYPE.first:
        return this.#first(view, at);
      case FRAME_TYPE.listen:
        return this.#listen(view, at);
      case FRAME_TYPE.listener:
        return this.#listener(view, at);
      case FRAME_TYPE.stats:
        return this.#stats(view, at);
      case FRAME_TYPE.done:
        return this.#done(view, at);
      case FRAME_TYPE.generation:
        return this.#generation(view, at);
      case FRAME_TYPE.hello:
        return this.#hello(view, at);
      case FRAME_TYPE.rung:
        return this.#rung(view, at);
      default:
        throw new UnknownValueError(`type ${type}`);
    }
  }

  #flow(view: DataView, at: number): FlowFrame {
    const flags = this.#fields.u16(view, at + HEADER.flags);
    return {
      type: 'flow',
      foundBy: FOUND_BY_SETS[flags & 7] ?? NO_SET,
      key: this.#key(view, at + FLOW.key),
      counts: this.#counts(view, at + FLOW.counts),
    };
  }

  #key(view: DataView, at: number): FlowKey {
    const direction = view.getUint8(at + FLOW_KEY.direction);
    return {
      startNs: this.#fields.u64(view, at + FLOW_KEY.startNs),
      tgid: this.#fields.u32(view, at + FLOW_KEY.tgid),
      netns: this.#fields.u32(view, at + FLOW_KEY.netns),
      local: this.#fields.address(view, at + FLOW_KEY.local),
      peer: this.#fields.address(view, at + FLOW_KEY.peer),
      servicePort: this.#fields.u16(view, at + FLOW_KEY.servicePort),
      direction: nameOf(DIRECTIONS, direction, 'direction'),
    };
  }

  #counts(view: DataView, at: number): FlowCounts {
    return {
      firstNs: this.#fields.u64(view, at + FLOW_COUNTS.firstNs),
      lastNs: this.#fields.u64(view, at + FLOW_COUNTS.lastNs),
      bytesSent: this.#fields.u64(view, at + FLOW_COUNTS.bytesSent),
      bytesReceived: this.#fields.u64(view, at + FLOW_COUNTS.bytesReceived),
      opened: this.#fields.u32(view, at + FLOW_COUNTS.opened),
      found: this.#fields.u32(view, at + FLOW_COUNTS.found),
      closed: this.#fields.u32(view, at + FLOW_COUNTS.closed),
      refused: this.#fields.u32(view, at + FLOW_COUNTS.refused),
      timedOut: this.#fields.u32(view, at + FLOW_COUNTS.timedOut),
      unreachable: this.#fields.u32(view, at + FLOW_COUNTS.unreachable),
      failedOther: this.#fields.u32(view, at + FLOW_COUNTS.failedOther),
      retransmits: this.#fields.u32(view, at + FLOW_COUNTS.retransmits),
    };
  }

  #first(view: DataView, at: number): FirstFrame {
    return {
      type: 'first',
      bootNs: this.#fields.u64(view, at + FIRST.bootNs),
      key: this.#key(view, at + FIRST.key),
      identity: this.#identity(view, at + FIRST.identity),
      localPort: this.#fields.u16(view, at + FIRST.localPort),
      peerPort: this.#fields.u16(view, at + FIRST.peerPort),
    };
  }

  #identity(view: DataView, at: number): Identity {
    return {
      startNs: this.#fields.u64(view, at + IDENTITY.startNs),
      cgroupId: this.#fields.u64(view, at + IDENTITY.cgroupId),
      tgid: this.#fields.u32(view, at + IDENTITY.tgid),
      ppid: this.#fields.u32(view, at + IDENTITY.ppid),
      pgid: this.#fields.u32(view, at + IDENTITY.pgid),
      uid: this.#fields.u32(view, at + IDENTITY.uid),
      comm: this.#fields.text(view, at + IDENTITY.comm, IDENTITY.commSize),
      exe: this.#fields.text(view, at + IDENTITY.exe, IDENTITY.exeSize),
    };
  }

  #listen(view: DataView, at: number): ListenFrame {
    const flags = this.#fields.u16(view, at + HEADER.flags);
    if (flags !== LISTEN_CHANGE.opened && flags !== LISTEN_CHANGE.closed) {
      throw new UnknownValueError(`listen change ${flags}`);
    }
    const opened = flags === LISTEN_CHANGE.opened;
    return {
      type: 'listen',
      change: opened ? 'opened' : 'closed',
      bootNs: this.#fields.u64(view, at + LISTEN.bootNs),
      local: this.#fields.address(view, at + LISTEN.local),
      netns: this.#fields.u32(view, at + LISTEN.netns),
      port: this.#fields.u16(view, at + LISTEN.port),
      identity: opened ? this.#identity(view, at + LISTEN.identity) : null,
    };
  }

  #listener(view: DataView, at: number): ListenerFrame {
    return {
      type: 'listener',
      shared: (this.#fields.u16(view, at + HEADER.flags) & LISTENER_SHARED) !== 0,
      startNs: this.#fields.u64(view, at + LISTENER.startNs),
      tgid: this.#fields.u32(view, at + LISTENER.tgid),
      netns: this.#fields.u32(view, at + LISTENER.netns),
      local: this.#fields.address(view, at + LISTENER.local),
      port: this.#fields.u16(view, at + LISTENER.port),
    };
  }

  #stats(view: DataView, at: number): StatsFrame {
    return {
      type: 'stats',
      ringLost: this.#fields.u64(view, at + STATS.ringLost),
      flowsFull: this.#fields.u64(view, at + STATS.flowsFull),
      socketsFull: this.#fields.u64(view, at + STATS.socketsFull),
      missedProbes: this.#fields.u64(view, at + STATS.missedProbes),
      noticesLost: this.#fields.u64(view, at + STATS.noticesLost),
      vanished: this.#fields.u64(view, at + STATS.vanished),
      namespacesFailed: this.#fields.u64(view, at + STATS.namespacesFailed),
    };
  }

  #done(view: DataView, at: number): DoneFrame {
    const flags = this.#fields.u16(view, at + HEADER.flags);
    return {
      type: 'done',
      requestId: this.#fields.u64(view, at + DONE.requestId),
      bootNs: this.#fields.u64(view, at + DONE.bootNs),
      wallNs: this.#fields.u64(view, at + DONE.wallNs),
      sockets: this.#fields.u32(view, at + DONE.sockets),
      namespaces: this.#fields.u32(view, at + DONE.namespaces),
      generation: this.#fields.u64(view, at + DONE.generation),
      snapshot: (flags & DONE_BIT.snapshot) !== 0,
      partial: (flags & DONE_BIT.partial) !== 0,
    };
  }

  #generation(view: DataView, at: number): GenerationFrame {
    return {
      type: 'generation',
      generation: this.#fields.u64(view, at + GENERATION.generation),
      fresh: (this.#fields.u16(view, at + HEADER.flags) & GENERATION_FRESH) !== 0,
    };
  }

  #hello(view: DataView, at: number): HelloFrame {
    const rung = this.#fields.u32(view, at + HELLO.rung);
    const features = this.#fields.u32(view, at + HELLO.features);
    return {
      type: 'hello',
      abiVersion: this.#fields.u32(view, at + HELLO.abiVersion),
      rung: nameOf(RUNGS, rung, 'rung'),
      bootNs: this.#fields.u64(view, at + HELLO.bootNs),
      wallNs: this.#fields.u64(view, at + HELLO.wallNs),
      pid: this.#fields.u32(view, at + HELLO.pid),
      netns: this.#fields.u32(view, at + HELLO.netns),
      features: {
        destroyNotices: (features & FEATURE_BIT.destroyNotices) !== 0,
        allNetns: (features & FEATURE_BIT.allNetns) !== 0,
        pinned: (features & FEATURE_BIT.pinned) !== 0,
        adopted: (features & FEATURE_BIT.adopted) !== 0,
      },
      frameSizes: {
        flow: this.#fields.u16(view, at + HELLO.flowFrameSize),
        first: this.#fields.u16(view, at + HELLO.firstFrameSize),
        listen: this.#fields.u16(view, at + HELLO.listenFrameSize),
        stats: this.#fields.u16(view, at + HELLO.statsFrameSize),
        done: this.#fields.u16(view, at + HELLO.doneFrameSize),
      },
      release: this.#fields.text(view, at + HELLO.release, HELLO.releaseSize),
      setId: this.#fields.u64(view, at + HELLO.setId),
      droppedGeneration: this.#fields.u64(view, at + HELLO.droppedGeneration),
    };
  }

  #rung(view: DataView, at: number): RungFrame {
    const rung = this.#fields.u32(view, at + RUNG.rung);
    return {
      type: 'rung',
      rung: nameOf(RUNGS, rung, 'rung'),
      error: this.#fields.i32(view, at + RUNG.error),
      text: this.#fields.text(view, at + RUNG.text, RUNG.textSize),
    };
  }
}
