import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { WriteOutcome } from '../../../src/agent/cmdb-sink.ts';
import { CoverageTracker } from '../../../src/agent/coverage-tracker.ts';
import { Inventory } from '../../../src/agent/inventory.ts';
import { Ledger } from '../../../src/agent/ledger.ts';
import { FlowTable } from '../../../src/flow/flow-table.ts';
import type { FlushBatch } from '../../../src/flow/records.ts';
import { batch as sampleBatch } from '../../support/batches.ts';
import { counts, losses, named } from './fakes.ts';

const BUCKET_MS = 60_000;
const START_MS = 1_772_366_400_000;

function world(maxWaitingBuckets = 1_000, maxFlows = 1_000) {
  const { host } = sampleBatch();
  const table = new FlowTable({ hostId: host.hostId, bucketMs: BUCKET_MS, maxFlows });
  table.setHomeNetns(1);
  const coverage = new CoverageTracker();
  coverage.begin({ mode: 'stream', attach: 'tracepoint', note: '' }, START_MS);
  const inventory = new Inventory({
    addresses: { records: () => sampleBatch().addresses.slice(), settled: () => undefined },
    listening: () => [],
    netnsName: (netns) => table.netnsName(netns),
    refreshMs: 1e9,
  });
  const ledger = new Ledger({
    host,
    epoch: START_MS,
    table,
    inventory,
    coverage,
    maxWaitingBuckets,
  });
  return { table, coverage, inventory, ledger };
}

/** What a CMDB holds after its upserts: totals are absolute and only grow. */
class ModelCmdb {
  readonly history = new Map<string, { opened: number; bytes: bigint }>();
  readonly processes = new Map<string, number>();
  readonly coverage = new Map<number, number>();
  readonly flowsOf = new Map<string, string>();

  write(batch: FlushBatch): void {
    for (const { processId, pid } of batch.processes) this.processes.set(processId, pid);
    for (const { from, to } of batch.coverage) {
      const known = this.coverage.get(from.getTime()) ?? 0;
      this.coverage.set(from.getTime(), Math.max(known, to.getTime()));
    }
    for (const flow of batch.flows) {
      this.flowsOf.set(flow.flowId, flow.processId);
      for (const bucket of flow.buckets) {
        const key = `${flow.flowId} ${bucket.bucketStart.getTime()} ${batch.epoch}`;
        const known = this.history.get(key) ?? { opened: 0, bytes: 0n };
        const bytes = bucket.bytesToPassive > known.bytes ? bucket.bytesToPassive : known.bytes;
        this.history.set(key, { opened: Math.max(known.opened, bucket.opened), bytes });
      }
    }
  }

  get opened(): number {
    return [...this.history.values()].reduce((sum, row) => sum + row.opened, 0);
  }

  get bytes(): bigint {
    return [...this.history.values()].reduce((sum, row) => sum + row.bytes, 0n);
  }
}

function open(
  { table, inventory }: ReturnType<typeof world>,
  process: number,
  pid: number,
  atMs: number,
  opened: number,
) {
  table.add(
    {
      kind: 'counts',
      firstMs: atMs,
      lastMs: atMs,
      flow: {
        netns: 1,
        direction: 'active',
        local: '10.0.0.1',
        peer: '10.0.0.2',
        servicePort: 80,
        process: null,
      },
      foundBy: ['stream'],
      counts: counts({ opened, closed: opened, bytesSent: BigInt(opened) * 10n }),
    },
    inventory.note(named(String(process), pid)),
  );
}

type Step =
  | { readonly kind: 'open'; readonly process: number; readonly pid: number; readonly n: number }
  | { readonly kind: 'report'; readonly byMs: number }
  | {
      readonly kind: 'flush';
      readonly outcome: WriteOutcome;
      /** Committed although the answer was lost. */
      readonly committed: boolean;
      /** What happens while the write is under way. */
      readonly during: number;
    };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('open' as const),
    process: fc.integer({ min: 1, max: 4 }),
    pid: fc.integer({ min: 100, max: 102 }),
    n: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({ kind: fc.constant('report' as const), byMs: fc.integer({ min: 1, max: 90_000 }) }),
  fc.record({
    kind: fc.constant('flush' as const),
    outcome: fc.constantFrom<WriteOutcome>('written', 'unavailable'),
    committed: fc.boolean(),
    during: fc.integer({ min: 0, max: 3 }),
  }),
);

describe('the ledger', () => {
  it('is quiet when nothing waits but that the host was watched', () => {
    const all = world();
    const { coverage, ledger } = all;
    const flush = (outcome: WriteOutcome) => ledger.settle(ledger.take(START_MS), outcome);
    coverage.extend(START_MS + 1_000, losses());
    assert.equal(ledger.isQuiet(START_MS), false); // that anybody watches is news
    flush('written');
    assert.equal(ledger.isQuiet(START_MS), true);
    coverage.extend(START_MS + 2_000, losses());
    assert.equal(ledger.isQuiet(START_MS), true);
    open(all, 1, 100, START_MS, 1);
    assert.equal(ledger.isQuiet(START_MS), false);
    flush('unavailable');
    assert.equal(ledger.isQuiet(START_MS), false);
    flush('written');
    assert.equal(ledger.isQuiet(START_MS), true);
    coverage.extend(START_MS + 3_000, losses({ ringLost: 1n }));
    assert.equal(ledger.isQuiet(START_MS), false);
    flush('unavailable');
    assert.equal(ledger.isQuiet(START_MS), false);
    flush('written');
    coverage.remark('something');
    coverage.extend(START_MS + 4_000, losses({ ringLost: 1n }));
    assert.equal(ledger.isQuiet(START_MS), false);
  });

  it('loses nothing and doubles nothing, whatever becomes of the batches', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const all = world();
        const cmdb = new ModelCmdb();
        const pids = new Map<string, number>();
        let [nowMs, opened] = [START_MS, 0];
        const add = (process: number, pid: number, n: number) => {
          open(all, process, pid, nowMs, n);
          opened += n;
          pids.set(String(process), pid);
        };
        const report = (byMs: number) => {
          nowMs += byMs;
          all.table.roll(nowMs);
          all.coverage.extend(nowMs, losses());
        };
        const flush = (outcome: WriteOutcome, committed: boolean, during: number) => {
          const batch = all.ledger.take(nowMs);
          for (let n = 0; n < during; n++) add(n + 1, 100 + n, 1);
          if (during === 2) report(BUCKET_MS);
          if (committed) cmdb.write(batch);
          all.ledger.settle(batch, outcome);
        };
        for (const each of steps) {
          if (each.kind === 'open') add(each.process, each.pid, each.n);
          else if (each.kind === 'report') report(each.byMs);
          else flush(each.outcome, each.committed || each.outcome === 'written', each.during);
        }
        report(1);
        flush('written', true, 0);
        assert.equal(cmdb.opened, opened);
        assert.equal(cmdb.bytes, BigInt(opened) * 10n);
        assert.deepEqual(new Map([...cmdb.processes].sort()), new Map([...pids].sort()));
        assert.deepEqual([...cmdb.coverage], [[START_MS, nowMs]]);
        const rest = all.ledger.take(nowMs);
        assert.deepEqual([rest.flows, rest.coverage, rest.processes], [[], [], []]);
      }),
    );
  });

  it('ignores what becomes of a batch that was given up', () => {
    const all = world();
    open(all, 1, 100, START_MS, 3);
    const slow = all.ledger.take(START_MS);
    const last = all.ledger.take(START_MS + 1);
    assert.deepEqual(last.flows, slow.flows);
    assert.deepEqual(last.processes, slow.processes);
    all.ledger.settle(slow, 'written');
    all.ledger.settle(last, 'unavailable');
    assert.deepEqual(all.ledger.take(START_MS + 2).flows, slow.flows);
  });

  it('settles a batch once', () => {
    const all = world();
    open(all, 1, 100, START_MS, 3);
    const batch = all.ledger.take(START_MS);
    all.ledger.settle(batch, 'written');
    all.ledger.settle(batch, 'lost-all');
    assert.deepEqual(all.ledger.take(START_MS).flows, []);
  });

  it('hands everything it still knows to a CMDB that was replaced', () => {
    const all = world();
    open(all, 1, 100, START_MS, 3);
    open(all, 2, 100, START_MS, 4);
    all.ledger.settle(all.ledger.take(START_MS), 'written');
    open(all, 2, 100, START_MS, 1);
    all.ledger.settle(all.ledger.take(START_MS), 'lost-all');
    const cmdb = new ModelCmdb();
    const batch = all.ledger.take(START_MS);
    cmdb.write(batch);
    assert.equal(cmdb.opened, 8);
    for (const processId of cmdb.flowsOf.values()) assert.ok(cmdb.processes.has(processId));
    assert.equal(batch.addresses.length, 1);
  });

  /** Three flows, used in each of so many buckets while the CMDB is away. */
  const outage = (all: ReturnType<typeof world>, slices: number) => {
    for (let slice = 0; slice < slices; slice++) {
      const atMs = START_MS + slice * BUCKET_MS;
      for (const process of [1, 2, 3]) open(all, process, 100, atMs, 1);
      all.table.roll(atMs);
      all.coverage.extend(atMs + 1, losses());
      all.ledger.settle(all.ledger.take(atMs), 'unavailable');
      assert.ok(all.table.waiting <= 10, `${all.table.waiting} buckets wait`);
    }
    return all.ledger.take(START_MS + slices * BUCKET_MS);
  };

  it('merges history into longer slices when too much waits, and loses none of it', () => {
    const all = world(10);
    const batch = outage(all, 20);
    const cmdb = new ModelCmdb();
    cmdb.write(batch);
    assert.equal(cmdb.opened, 60);
    assert.equal(cmdb.bytes, 600n);
    assert.equal(all.ledger.droppedBuckets, 0);
    assert.ok(all.ledger.coarsenedBuckets > 40);
    assert.match(batch.coverage[0]?.note ?? '', /longer slices/);
    for (const { buckets } of batch.flows) {
      const [first, ...later] = buckets;
      assert.equal(first?.bucketStart.getTime(), START_MS);
      let endMs = START_MS;
      for (const { bucketStart, bucketSeconds } of [first, ...later].flatMap((it) => it ?? [])) {
        assert.equal(bucketStart.getTime(), endMs); // without holes or overlaps
        endMs += bucketSeconds * 1_000;
      }
      assert.equal(endMs, START_MS + 20 * BUCKET_MS);
    }
  });

  it('is bounded for days: a slice a day, then the oldest is given up, counted and said', () => {
    const all = world(10);
    const days = 5;
    const batch = outage(all, days * 24 * 60);
    const buckets = batch.flows.flatMap((flow) => flow.buckets);
    assert.ok(buckets.length <= 10);
    assert.ok(buckets.every(({ bucketSeconds }) => bucketSeconds <= 86_400));
    for (const { bucketStart, bucketSeconds } of buckets) {
      const [from, last] = [
        bucketStart.getTime(),
        bucketStart.getTime() + bucketSeconds * 1_000 - 1,
      ];
      assert.equal(Math.floor(from / 86_400_000), Math.floor(last / 86_400_000));
    }
    assert.ok(all.ledger.droppedBuckets > 0);
    const kept = buckets.reduce((sum, { opened }) => sum + opened, 0);
    const gaps = batch.coverage.filter(({ gap }) => gap);
    const gapMs = gaps.reduce((sum, { from, to }) => sum + to.getTime() - from.getTime(), 0);
    // Of every minute either the history is there, or coverage says that it is not.
    assert.ok(Math.abs((3 * gapMs) / BUCKET_MS + kept - 3 * days * 24 * 60) < 1);
    assert.match(gaps[0]?.note ?? '', /given up/);
  });

  it('merges nothing into what the CMDB may have already', () => {
    const all = world(4);
    open(all, 1, 100, START_MS, 3);
    const cmdb = new ModelCmdb();
    const first = all.ledger.take(START_MS);
    cmdb.write(first); // but the answer is lost
    all.ledger.settle(first, 'maybe-written');
    for (let slice = 1; slice < 10; slice++) {
      const atMs = START_MS + slice * BUCKET_MS;
      open(all, 1, 100, atMs, 1);
      all.table.roll(atMs);
      all.ledger.settle(all.ledger.take(atMs), 'unavailable');
    }
    cmdb.write(all.ledger.take(START_MS + 10 * BUCKET_MS));
    assert.equal(cmdb.opened, 12);
  });

  it('takes back only what was not written of a batch', () => {
    const all = world();
    for (const process of [1, 2, 3]) open(all, process, 100, START_MS, 1);
    const batch = all.ledger.take(START_MS);
    all.ledger.settle(batch, 'unavailable', { writtenFlows: 2, rejectedFlows: 0 });
    assert.deepEqual(all.ledger.take(START_MS).flows, batch.flows.slice(2));
  });

  it('never gives up the current bucket', () => {
    const all = world(2);
    for (const process of [1, 2, 3]) open(all, process, 100, START_MS, 1);
    all.ledger.settle(all.ledger.take(START_MS), 'unavailable');
    assert.equal(all.ledger.take(START_MS).flows.length, 3);
    assert.equal(all.ledger.droppedBuckets, 0);
  });

  it('dates what found the table full', () => {
    const all = world(1_000, 2);
    for (const process of [1, 2, 3, 4]) open(all, process, 100, START_MS, 1);
    all.coverage.extend(START_MS + 5, losses());
    assert.equal(all.ledger.take(START_MS).coverage[0]?.lost, 2n);
    all.coverage.extend(START_MS + 9, losses());
    assert.equal(all.ledger.take(START_MS).coverage[0]?.lost, 2n); // once
  });

  it('drops a batch that was refused, and goes on', () => {
    const all = world();
    open(all, 1, 100, START_MS, 3);
    all.ledger.settle(all.ledger.take(START_MS), 'rejected');
    assert.deepEqual(all.ledger.take(START_MS).flows, []);
    open(all, 1, 100, START_MS, 1);
    const cmdb = new ModelCmdb();
    cmdb.write(all.ledger.take(START_MS));
    assert.equal(cmdb.opened, 4); // totals of the bucket are absolute
    assert.ok(cmdb.processes.has('1'));
  });
});
