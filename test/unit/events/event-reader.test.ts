import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type {
  DoneFrame,
  FlowFrame,
  Frame,
  ListenerFrame,
  StatsFrame,
} from '../../../src/bpf-ts-loader/index.ts';
import type { TraceEvent } from '../../../src/events/event.ts';
import { EventReader } from '../../../src/events/event-reader.ts';
import { flowFrame, HELLO_FRAME, IDENTITY } from '../bpf-ts-loader/fixtures/samples.ts';

const MS = 1_000_000n;
const NETNS = 4_026_531_840;

/** Boot clock at 10 s, wall clock at 1,000,000 s. */
const HELLO: Frame = { ...HELLO_FRAME, bootNs: 10_000n * MS, wallNs: 1_000_000_000n * MS };

const LISTENER: ListenerFrame = {
  type: 'listener',
  shared: false,
  startNs: 5n,
  tgid: 300,
  netns: NETNS,
  local: '0.0.0.0',
  port: 80,
};

const NO_LOSS: StatsFrame = {
  type: 'stats',
  ringLost: 0n,
  flowsFull: 0n,
  socketsFull: 0n,
  missedProbes: 0n,
  noticesLost: 0n,
  vanished: 0n,
  namespacesFailed: 0n,
};

/** `stepMs`: how far the wall clock was stepped since HELLO. */
function done(bootMs: number, fields: Partial<DoneFrame> = {}, stepMs = 0): DoneFrame {
  const bootNs = BigInt(bootMs) * MS;
  return {
    type: 'done',
    requestId: 1n,
    bootNs,
    wallNs: bootNs + (1_000_000_000n - 10_000n + BigInt(stepMs)) * MS,
    sockets: 7,
    namespaces: 2,
    snapshot: false,
    partial: false,
    generation: 0n,
    ...fields,
  };
}

function flowAt(n: number, firstMs: number, lastMs: number): FlowFrame {
  const frame = flowFrame(n);
  const times = { firstNs: BigInt(firstMs) * MS, lastNs: BigInt(lastMs) * MS };
  return { ...frame, counts: { ...frame.counts, ...times } };
}

function first(bootMs: number, peerPort = 40_001): Frame {
  const { key } = flowFrame(0);
  return {
    type: 'first',
    bootNs: BigInt(bootMs) * MS,
    key,
    identity: IDENTITY,
    localPort: 80,
    peerPort,
  };
}

function read(...frames: readonly Frame[]): TraceEvent[] {
  const events: TraceEvent[] = [];
  const reader = new EventReader((event) => events.push(event));
  for (const frame of frames) reader.read(frame);
  return events;
}

function only<Kind extends TraceEvent['kind']>(
  events: readonly TraceEvent[],
  kind: Kind,
): Extract<TraceEvent, { kind: Kind }>[] {
  return events.filter(
    (event): event is Extract<TraceEvent, { kind: Kind }> => event.kind === kind,
  );
}

describe('EventReader', () => {
  it('tells a report at its end: listeners, counts as they came, then that it is over', () => {
    const frames = [flowAt(1, 20, 21), LISTENER, flowAt(2, 20, 22), NO_LOSS, flowAt(3, 20, 23)];
    assert.deepEqual(read(HELLO, ...frames), [], 'nothing before the report is complete');
    const events = read(HELLO, ...frames, done(10_500, { snapshot: true }));
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['listeners', 'counts', 'counts', 'counts', 'reported'],
    );
    assert.deepEqual(
      only(events, 'counts').map(({ counts }) => counts.opened),
      [1, 2, 3],
    );
    assert.deepEqual(events.at(-1), {
      kind: 'reported',
      atMs: 1_000_000_500,
      snapshot: true,
      partial: false,
      sockets: 7,
      namespaces: 2,
      losses: only(events, 'reported')[0]?.losses,
      generation: 0n,
    });
  });

  it('tells what just happened at once, between the frames of a report too', () => {
    const opened: Frame = {
      type: 'listen',
      change: 'opened',
      bootNs: 10_001n * MS,
      local: '::',
      netns: NETNS,
      port: 443,
      identity: IDENTITY,
    };
    const closed: Frame = { ...opened, change: 'closed', bootNs: 10_002n * MS, identity: null };
    const endpoint = { netns: NETNS, address: '::', port: 443 };
    const { tgid: pid, startNs: startTimeNs, ...rest } = IDENTITY;
    const identity = { ...rest, pid, startTimeNs };
    assert.deepEqual(read(HELLO, flowAt(1, 0, 0), first(10_000), opened, closed), [
      {
        kind: 'first',
        atMs: 1_000_000_000,
        flow: {
          netns: NETNS,
          direction: 'passive',
          local: '10.0.0.11',
          peer: '10.0.0.0',
          servicePort: 80,
          process: { pid: 1, startTimeNs: 77_000_000_001n },
        },
        identity,
        peerPort: 40_001,
      },
      { kind: 'listen-opened', atMs: 1_000_000_001, endpoint, identity },
      { kind: 'listen-closed', atMs: 1_000_000_002, endpoint },
    ]);
  });

  it('says null for a port and for processes that the kernel did not tell', () => {
    const frame = flowAt(1, 0, 0);
    const unknown: FlowFrame = { ...frame, key: { ...frame.key, tgid: 0, startNs: 0n } };
    const ownerless: ListenerFrame = { ...LISTENER, tgid: 0, startNs: 0n };
    const end = done(11_000, { snapshot: true });
    const events = read(HELLO, first(10_000, 0), unknown, LISTENER, ownerless, end);
    assert.equal(only(events, 'first')[0]?.peerPort, null);
    assert.equal(only(events, 'counts')[0]?.flow.process, null);
    assert.deepEqual(
      only(events, 'listeners')[0]?.listeners.map(({ owner }) => owner),
      [{ pid: 300, startTimeNs: 5n }, null],
    );
  });

  it('gives a set of listeners for snapshots only, also when it is empty or not complete', () => {
    assert.deepEqual(only(read(HELLO, done(10_000)), 'listeners'), []);
    const snapshots = read(
      HELLO,
      done(10_000, { snapshot: true }),
      LISTENER,
      done(10_001, { snapshot: true, partial: true }),
    );
    assert.deepEqual(
      only(snapshots, 'listeners').map(({ complete, listeners }) => [complete, listeners.length]),
      [
        [true, 0],
        [false, 1],
      ],
    );
    assert.equal(only(snapshots, 'reported')[1]?.partial, true);
  });

  it('begins every report anew', () => {
    const events = read(
      HELLO,
      flowAt(1, 0, 0),
      LISTENER,
      done(10_000),
      flowAt(2, 0, 0),
      done(10_001, { snapshot: true }),
    );
    assert.deepEqual(
      only(events, 'counts').map(({ counts }) => counts.opened),
      [1, 2],
    );
    assert.deepEqual(only(events, 'listeners')[0]?.listeners, []);
  });

  it('keeps losses as they are, absolute, also through reports without any', () => {
    const lost = { ...NO_LOSS, ringLost: 3n, missedProbes: (1n << 64n) - 1n };
    const events = read(HELLO, done(1), lost, done(2), done(3), { ...lost, ringLost: 5n }, done(4));
    assert.deepEqual(
      only(events, 'reported').map(({ losses }) => [losses.ringLost, losses.missedProbes]),
      [
        [0n, 0n],
        [3n, (1n << 64n) - 1n],
        [3n, (1n << 64n) - 1n],
        [5n, (1n << 64n) - 1n],
      ],
    );
    assert.ok(!('type' in (only(events, 'reported')[1]?.losses ?? {})));
  });

  it('turns the boot clock into time of day, whatever the wall clock was before', () => {
    const report = [flowAt(1, 10_250, 10_750), done(11_000)];
    const [counts] = only(read(HELLO, ...report), 'counts');
    assert.deepEqual([counts?.firstMs, counts?.lastMs], [1_000_000_250, 1_000_000_750]);
    for (const stepMs of [3_600_000, -7_200_000]) {
      const events = read(
        HELLO,
        first(10_000),
        flowAt(1, 10_250, 10_750),
        done(11_000, {}, stepMs),
        first(12_000),
      );
      const [stepped] = only(events, 'counts');
      assert.deepEqual(
        [...only(events, 'first').map(({ atMs }) => atMs), stepped?.firstMs, stepped?.lastMs],
        [1_000_000_000, 1_000_002_000, 1_000_000_250, 1_000_000_750].map((ms, i) =>
          i === 0 ? ms : ms + stepMs,
        ),
      );
      assert.equal(only(events, 'reported')[0]?.atMs, 1_000_001_000 + stepMs);
    }
  });

  it('converts boot times beyond 2^53 nanoseconds to the millisecond', () => {
    const years = 400n * 86_400_000n; // in ms; 2^53 ns are 104 days
    const events = read(HELLO, { ...first(0), bootNs: years * MS + 999_999n } as Frame);
    assert.equal(only(events, 'first')[0]?.atMs, Number(1_000_000_000n - 10_000n + years));
  });

  it('says nothing of refused rungs', () => {
    assert.deepEqual(read(HELLO, { type: 'rung', rung: 'fentry', error: 1, text: 'no' }), []);
  });
});
