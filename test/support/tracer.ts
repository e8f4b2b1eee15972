import { join } from 'node:path';
import {
  type Direction,
  type FirstFrame,
  type FlowCounts,
  type FlowFrame,
  type FoundBy,
  type Frame,
  type Greeting,
  HelperProcess,
  type ListenerFrame,
  type ListenFrame,
  type StatsFrame,
} from '../../src/bpf-ts-loader/index.ts';
import { eventually } from './processes.ts';
import { REPOSITORY } from './run.ts';

export const HELPER_PROGRAM = join(REPOSITORY, 'build', 'ttracer-helper');

/** What the rungs that run natively are started with. */
export const NATIVE_RUNGS = {
  tracepoint: ['--mode', 'stream', '--attach', 'tracepoint'],
  poll: ['--mode', 'poll'],
  /** As with many sockets: details are not asked for each time. */
  'plain poll': ['--mode', 'poll', '--few-sockets', '1'],
} as const;

export type NativeRung = keyof typeof NATIVE_RUNGS;

/** What the helper calls it. */
export function rungName(rung: NativeRung): string {
  return rung === 'plain poll' ? 'poll' : rung;
}

/** All that one end of the connections to a port came to, since the tracer's start. */
export interface End {
  /** Opened or found. */
  readonly connections: number;
  readonly closed: number;
  readonly refused: number;
  readonly timedOut: number;
  readonly unreachable: number;
  readonly failedOther: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Connections by pid, 0 where not known. */
  readonly byPid: ReadonlyMap<number, number>;
  readonly local: readonly string[];
  readonly foundBy: readonly FoundBy[];
}

/** The helper alone, and all that it has said. */
export class Tracer {
  readonly helper: HelperProcess;
  readonly greeting: Greeting;
  readonly firsts: FirstFrame[] = [];
  readonly listens: ListenFrame[] = [];
  /** Of the latest snapshot. */
  listeners: ListenerFrame[] = [];
  /** Of the latest report. */
  stats: StatsFrame | null = null;
  /** Sockets that the latest report looked at. */
  sockets = 0;
  readonly #flows: FlowFrame[] = [];
  #listenersNow: ListenerFrame[] = [];
  #readUpTo = 0n;

  /** @param wrapper command that runs the helper in its own place: `['ip', 'netns', 'exec', NAME]` */
  static async start(args: readonly string[], wrapper: readonly string[] = []): Promise<Tracer> {
    const [path = HELPER_PROGRAM, ...argv] = [...wrapper, HELPER_PROGRAM, ...args];
    const helper = await HelperProcess.spawn({ path, args: argv });
    const tracer = new Tracer(helper, await helper.ready);
    await tracer.report('snapshot', true); // as the agent does
    return tracer;
  }

  private constructor(helper: HelperProcess, greeting: Greeting) {
    this.helper = helper;
    this.greeting = greeting;
    this.#read().catch(() => undefined); // `helper.ended` tells
  }

  /** Asks for a report and waits until all of it was read. */
  async report(kind: 'drain' | 'snapshot' = 'snapshot', allOwners = false): Promise<void> {
    const { requestId } = await this.helper.request(kind, { allOwners });
    await eventually(() => this.#readUpTo >= requestId, { what: 'the frames of a report' });
  }

  /** What one end of the connections to a port came to. */
  end(direction: Direction, port: number): End {
    const frames = this.#flows.filter(
      ({ key }) => key.direction === direction && key.servicePort === port,
    );
    const sum = (of: (counts: FlowCounts) => number | bigint) =>
      frames.reduce((total, { counts }) => total + Number(of(counts)), 0);
    const byPid = new Map<number, number>();
    for (const { key, counts } of frames) {
      byPid.set(key.tgid, (byPid.get(key.tgid) ?? 0) + counts.opened + counts.found);
    }
    return {
      connections: sum((counts) => counts.opened + counts.found),
      closed: sum((counts) => counts.closed),
      refused: sum((counts) => counts.refused),
      timedOut: sum((counts) => counts.timedOut),
      unreachable: sum((counts) => counts.unreachable),
      failedOther: sum((counts) => counts.failedOther),
      bytesSent: sum((counts) => counts.bytesSent),
      bytesReceived: sum((counts) => counts.bytesReceived),
      byPid,
      local: [...new Set(frames.map(({ key }) => key.local))],
      foundBy: [...new Set(frames.flatMap(({ foundBy }) => foundBy))].sort(),
    };
  }

  /** Asks for reports until `check` holds; notices and closes may come a moment late. */
  async until(check: () => boolean, what: string): Promise<void> {
    await eventually(
      async () => {
        await this.report();
        return check();
      },
      { timeoutMs: 5_000, what },
    );
  }

  async stop(): Promise<void> {
    await this.helper.stop();
  }

  async #read(): Promise<void> {
    for await (const frames of this.helper.frames) {
      for (const frame of frames) this.#take(frame);
    }
  }

  #take(frame: Frame): void {
    switch (frame.type) {
      case 'first':
        this.firsts.push(frame);
        break;
      case 'listen':
        this.listens.push(frame);
        break;
      case 'listener':
        this.#listenersNow.push(frame);
        break;
      case 'flow':
        this.#flows.push(frame);
        break;
      case 'stats':
        this.stats = frame;
        break;
      case 'done':
        if (frame.snapshot) {
          this.listeners = this.#listenersNow;
          this.#listenersNow = [];
        }
        this.sockets = frame.sockets;
        this.#readUpTo = frame.requestId;
        break;
      default:
        break;
    }
  }
}
