import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CoverageTracker, type Watching } from '../../../src/agent/coverage-tracker.ts';
import { Inventory } from '../../../src/agent/inventory.ts';
import { Mark } from '../../../src/agent/mark.ts';
import type { Position } from '../../../src/agent/open-connections.ts';
import { Tracer } from '../../../src/agent/tracer.ts';
import type {
  FlowCounts,
  Frame,
  HelloFrame,
  RungFrame,
  SupervisorEvent,
} from '../../../src/bpf-ts-loader/index.ts';
import { FlowTable, type OpenConnections } from '../../../src/flow/flow-table.ts';
import { Attributor } from '../../../src/process/attributor.ts';
import { counts, losses, named, recordingLog } from './fakes.ts';

const HOST = '00000000-0000-4000-8000-000000000001';
/** When the host booted, milliseconds since 1970, and a moment after it in frames. */
const BOOT_MS = 1_772_366_400_000;
const NETNS = 1;
const ns = (ms: number): bigint => BigInt(ms) * 1_000_000n;
const KEY = { netns: NETNS, local: '10.0.0.1', peer: '10.0.0.2', servicePort: 80, startNs: 1n };

const UNPINNED = { pinned: false, adopted: false, setId: 0n, droppedGeneration: 0n };
type Pins = typeof UNPINNED;

function hello(
  atMs: number,
  rung: HelloFrame['rung'],
  { pinned, adopted, ...pins }: Pins,
): HelloFrame {
  return {
    type: 'hello',
    abiVersion: 1,
    rung,
    bootNs: ns(atMs),
    wallNs: ns(BOOT_MS + atMs),
    pid: 9,
    netns: NETNS,
    features: { destroyNotices: true, allNetns: true, pinned, adopted },
    frameSizes: { flow: 0, first: 0, listen: 0, stats: 0, done: 0 },
    release: '6.1.0',
    ...pins,
  };
}

function up(
  atMs: number,
  {
    rung = 'tracepoint',
    restarts = 0,
    pins = {},
  }: { rung?: HelloFrame['rung']; restarts?: number; pins?: Partial<Pins> } = {},
): SupervisorEvent {
  const rungs: RungFrame[] = [
    { type: 'rung', rung: 'fentry', error: 1, text: 'not permitted' },
    { type: 'rung', rung, error: 0, text: '' },
  ];
  return { kind: 'up', hello: hello(atMs, rung, { ...UNPINNED, ...pins }), rungs, restarts };
}

function down(atMs: number): SupervisorEvent {
  return { kind: 'down', reason: new Error('died'), at: new Date(BOOT_MS + atMs), retryInMs: 100 };
}

function frames(...all: Frame[]): SupervisorEvent {
  return { kind: 'frames', frames: all };
}

function flow(atMs: number, changes: Partial<FlowCounts>, foundBy: 'stream' | 'snapshot'): Frame {
  return {
    type: 'flow',
    foundBy: [foundBy],
    key: { ...KEY, tgid: 100, direction: 'active' },
    counts: counts({ firstNs: ns(atMs), lastNs: ns(atMs), ...changes }),
  };
}

function first(atMs: number): Frame {
  return {
    type: 'first',
    bootNs: ns(atMs),
    key: { ...KEY, tgid: 100, direction: 'active' },
    identity: {
      ...{ startNs: 1n, cgroupId: 0n, tgid: 100, ppid: 1, pgid: 100, uid: 0 },
      comm: 'p7',
      exe: '/p7',
    },
    localPort: 50_000,
    peerPort: 80,
  };
}

function done(atMs: number, { snapshot = false, partial = false, generation = 0n } = {}): Frame {
  const times = { bootNs: ns(atMs), wallNs: ns(BOOT_MS + atMs) };
  return {
    type: 'done',
    requestId: 1n,
    ...times,
    sockets: 1,
    namespaces: 1,
    snapshot,
    partial,
    generation,
  };
}

const snapshot = (atMs: number) => done(atMs, { snapshot: true });

function generation(number: bigint, fresh = false): Frame {
  return { type: 'generation', generation: number, fresh };
}

async function trace(
  events: readonly SupervisorEvent[],
  {
    mode = 'continuous',
    failure,
    legacy,
  }: {
    mode?: 'once' | 'continuous';
    failure?: Error;
    /** Of the previous agent: its position, and connections it left open. */
    legacy?: { position: Position; open: OpenConnections };
  } = {},
) {
  const mark = new Mark(legacy?.position ?? null);
  const process = named('7', 100);
  const attributor = new Attributor({
    fromKernel: () => process,
    fromPid: () => process,
    lookup: () => process,
  });
  const table = new FlowTable({ hostId: HOST, bucketMs: 3_600_000 });
  if (legacy !== undefined) {
    table.restore(legacy.open);
  }
  const coverage = new CoverageTracker();
  const inventory = new Inventory({
    addresses: { records: () => [], settled: () => undefined },
    listening: () => [],
    netnsName: (netns) => table.netnsName(netns),
    refreshMs: 60_000,
  });
  const { log, lines } = recordingLog();
  const told: (string | Watching)[] = [];
  const tracer = new Tracer(
    {
      supervisor: {
        events: (async function* () {
          yield* events;
          if (failure !== undefined) throw failure;
        })(),
        acknowledge: (generation: bigint) => told.push(`acknowledged ${generation}`),
      },
      ...{ attributor, table, inventory, coverage, log },
      output: null,
      mark,
    },
    mode,
    {
      watching: (watching) => told.push(watching),
      reported: (event, lost) => told.push(`reported at ${event.atMs - BOOT_MS}, lost ${lost}`),
      blind: () => told.push('blind'),
      crowded: () => told.push('crowded'),
    },
  );
  const ended = tracer.run();
  await ended.catch(() => undefined);
  const [record] = table.takeChanged().records;
  return {
    ended,
    told,
    lines,
    id: record?.flowId,
    bucket: record?.buckets[0],
    foundBy: record?.foundBy,
    open: Object.values(table.openConnections()),
    coverage: coverage
      .takeChanged()
      .map(({ from, to, gap }) => [from.getTime() - BOOT_MS, to.getTime() - BOOT_MS, gap]),
  };
}

describe('the tracer', () => {
  it('counts what is announced and reported, and says how it watches', async () => {
    const { told, bucket, coverage, lines } = await trace([
      up(1_000),
      frames(snapshot(1_100)),
      frames(first(1_500), flow(1_500, { opened: 3, closed: 1 }, 'stream')),
      frames(done(2_000)),
    ]);
    assert.deepEqual(told, [
      { mode: 'stream', attach: 'tracepoint', note: 'fentry refused: not permitted' },
      'reported at 1100, lost 0',
      'reported at 2000, lost 0',
    ]);
    assert.deepEqual([bucket?.opened, bucket?.openNow], [3, 2]);
    assert.deepEqual(coverage, [[1_000, 2_000, false]]);
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ['rung refused', 'attached'],
    );
  });

  it('says poll, and once, where that is so', async () => {
    const [polling] = (await trace([up(1_000, { rung: 'poll' })])).told;
    assert.deepEqual(polling, {
      mode: 'poll',
      attach: null,
      note: 'fentry refused: not permitted',
    });
    const [once] = (await trace([up(1_000, { rung: 'poll' })], { mode: 'once' })).told;
    assert.equal(typeof once === 'object' && once.mode, 'once');
  });

  it('finds open connections again after a gap, and counts none of them twice', async () => {
    const { bucket, open, coverage, told, lines } = await trace([
      up(1_000),
      frames(flow(1_050, { found: 5 }, 'snapshot'), snapshot(1_100)),
      frames(flow(1_500, { opened: 2 }, 'stream'), done(2_000)),
      down(4_000),
      up(5_000, { restarts: 1 }),
      frames(flow(5_050, { found: 6 }, 'snapshot'), snapshot(5_100)), // one closed unseen
      frames(flow(5_500, { opened: 1 }, 'stream'), done(6_000)),
    ]);
    assert.deepEqual([bucket?.opened, bucket?.openNow], [8, 7]);
    assert.deepEqual(open, [7]);
    // What was counted between the last report and the helper's end is gone with it.
    assert.deepEqual(coverage, [
      [1_000, 2_000, false],
      [5_000, 6_000, false],
      [2_000, 5_000, true],
    ]);
    assert.ok(told.includes('blind'));
    assert.equal(lines.filter(({ msg }) => /the gap was repaired/.test(msg)).length, 1);
  });

  it('counts what was opened unseen and is still open as new', async () => {
    const { bucket, open } = await trace([
      up(1_000),
      frames(flow(1_050, { found: 2 }, 'snapshot'), snapshot(1_100)),
      down(4_000),
      up(5_000),
      frames(flow(5_050, { found: 5 }, 'snapshot'), snapshot(5_100)),
    ]);
    assert.deepEqual([bucket?.opened, bucket?.openNow, open], [5, 5, [5]]);
  });

  it('takes what a complete snapshot lacks for closed', async () => {
    const { open } = await trace([
      up(1_000),
      frames(flow(1_050, { found: 2 }, 'snapshot'), snapshot(1_100)),
      down(4_000),
      up(5_000),
      frames(snapshot(5_100)),
    ]);
    assert.deepEqual(open, []);
  });

  it('waits for a complete snapshot before it takes anything for closed', async () => {
    const partial = done(5_100, { snapshot: true, partial: true });
    const { open, bucket } = await trace([
      up(1_000),
      frames(flow(1_050, { found: 2 }, 'snapshot'), snapshot(1_100)),
      down(4_000),
      up(5_000),
      frames(partial),
      frames(flow(6_050, { found: 2 }, 'snapshot'), snapshot(6_100)),
    ]);
    assert.deepEqual([bucket?.opened, open], [2, [2]]);
  });

  it('begins the gap with the first of several failed starts', async () => {
    const { coverage } = await trace([
      up(1_000),
      frames(snapshot(2_000)),
      down(3_000),
      down(4_000),
      up(5_000),
      down(5_500), // before its first report
      up(9_000),
      frames(snapshot(9_500)),
    ]);
    assert.deepEqual(coverage, [
      [1_000, 2_000, false],
      [9_000, 9_500, false],
      [2_000, 9_000, true],
    ]);
  });

  it('drops half a report of a helper that died over it', async () => {
    const { bucket } = await trace([
      up(1_000),
      frames(snapshot(1_100), flow(1_500, { opened: 3 }, 'stream')),
      down(2_000),
      up(3_000),
      frames(flow(3_050, { found: 3 }, 'snapshot'), snapshot(3_100)),
    ]);
    assert.equal(bucket?.opened, 3);
  });

  it('tells of losses', async () => {
    const { told, lines } = await trace([
      up(1_000),
      frames({ type: 'stats', ...losses({ ringLost: 4n }) }, snapshot(2_000)),
      frames({ type: 'stats', ...losses({ ringLost: 4n }) }, done(3_000)),
    ]);
    assert.deepEqual(told.slice(1), ['reported at 2000, lost 4', 'reported at 3000, lost 0']);
    assert.equal(lines.filter(({ msg }) => msg === 'events were lost').length, 1);
  });

  it('ends with the supervisor, and as it failed', async () => {
    await (await trace([up(1_000)])).ended;
    const failure = new Error('final');
    await assert.rejects((await trace([down(1_000)], { failure })).ended, failure);
  });
});

describe('the tracer, with pinned programs', () => {
  const PINNED = { pinned: true, adopted: false, setId: 5n };
  const ADOPTED = { ...PINNED, adopted: true };
  const position = {
    setId: '5',
    generation: 7n,
    atMs: BOOT_MS + 500,
    known: { lost: 0n, missedProbes: 0n },
  };
  const report = (atMs: number, number: bigint) =>
    done(atMs, { snapshot: true, generation: number });
  /** The only flow: its id does not depend on anything else. */
  const legacy = async (open: number, more: Partial<Position> = {}) => {
    const { id } = await trace([up(1), frames(flow(1, { found: 1 }, 'snapshot'), snapshot(2))]);
    return { position: { ...position, ...more }, open: { [id ?? '']: open } };
  };

  it('goes on where the previous agent left off', async () => {
    const { told, bucket, open, coverage } = await trace(
      [
        up(1_000, { pins: ADOPTED }),
        frames(
          generation(7n),
          flow(400, { opened: 100 }, 'stream'), // the previous agent counted it
          generation(8n),
          flow(900, { opened: 3, closed: 2 }, 'stream'),
          report(1_100, 8n),
        ),
        frames(generation(9n), flow(1_500, { closed: 1 }, 'stream'), report(2_000, 9n)),
      ],
      { legacy: await legacy(4) },
    );
    assert.equal(told[0], 'acknowledged 7');
    assert.deepEqual([bucket?.opened, bucket?.openAtStart, bucket?.openNow], [3, 4, 4]);
    assert.deepEqual(open, [4]);
    assert.deepEqual(coverage, [
      [500, 1_100, false],
      [1_100, 2_000, false],
    ]);
  });

  it('knows connections that are open and idle by being told of them', async () => {
    const { bucket, open } = await trace(
      [
        up(1_000, { pins: ADOPTED }),
        frames(generation(8n), generation(0n), flow(1_050, {}, 'snapshot'), report(1_100, 8n)),
      ],
      { legacy: await legacy(4) },
    );
    assert.deepEqual([bucket?.opened, bucket?.openAtStart, open], [0, 4, [4]]);
  });

  it('counts what a dead helper told but once, and sees no gap', async () => {
    const { told, bucket, open, coverage } = await trace([
      up(1_000, { pins: PINNED }),
      frames(generation(1n, true), flow(1_050, { found: 2 }, 'snapshot'), report(1_100, 1n)),
      frames(generation(2n), flow(1_500, { opened: 5 }, 'stream'), report(2_000, 2n)),
      down(3_000),
      up(3_100, { pins: ADOPTED, restarts: 1 }),
      frames(
        generation(1n),
        flow(1_050, { found: 2 }, 'snapshot'),
        generation(2n),
        flow(1_500, { opened: 5 }, 'stream'),
        generation(3n),
        flow(2_500, { opened: 1, closed: 3 }, 'stream'),
        report(3_200, 3n),
      ),
    ]);
    assert.ok(!told.some((each) => typeof each === 'string' && each.startsWith('acknowledged')));
    assert.deepEqual([bucket?.opened, open], [8, [5]]);
    assert.deepEqual(coverage, [
      [1_000, 2_000, false],
      [2_000, 3_200, false],
    ]);
  });

  it('finds open connections again where other programs took over, after what those counted', async () => {
    const { bucket, open, coverage } = await trace(
      [
        up(1_000, { pins: PINNED }),
        frames(
          generation(8n),
          flow(900, { opened: 3, closed: 2 }, 'stream'),
          generation(9n, true),
          flow(1_050, { found: 5 }, 'snapshot'),
          report(1_100, 9n),
        ),
        frames(generation(10n), flow(1_500, { opened: 1 }, 'stream'), report(2_000, 10n)),
      ],
      { legacy: await legacy(4) },
    );
    assert.deepEqual([bucket?.opened, open], [4, [6]]);
    assert.deepEqual(coverage, [
      [1_000, 2_000, false],
      [500, 1_000, true],
    ]);
  });

  it('has a gap where counts were not kept', async () => {
    const { coverage } = await trace(
      [
        up(1_000, { pins: { ...ADOPTED, droppedGeneration: 9n } }),
        frames(generation(10n), report(1_100, 10n)),
      ],
      { legacy: await legacy(0) },
    );
    assert.ok(coverage.some(([from, to, gap]) => from === 501 && to === 1_000 && gap === true));
  });

  it('does not mistake another set of programs for its own', async () => {
    const { told, bucket, coverage } = await trace(
      [
        up(1_000, { pins: { ...ADOPTED, setId: 6n } }),
        frames(generation(2n), flow(900, { opened: 3 }, 'stream'), report(1_100, 2n)),
      ],
      { legacy: await legacy(4) },
    );
    assert.ok(!told.includes('acknowledged 7'));
    assert.equal(bucket?.opened, 3);
    assert.deepEqual(coverage, [[1_000, 1_100, false]]);
  });
});
