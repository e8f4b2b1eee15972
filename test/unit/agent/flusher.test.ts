import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Sink, WriteOutcome } from '../../../src/agent/cmdb-sink.ts';
import { CoverageTracker } from '../../../src/agent/coverage-tracker.ts';
import { Flusher } from '../../../src/agent/flusher.ts';
import { Inventory } from '../../../src/agent/inventory.ts';
import { Ledger } from '../../../src/agent/ledger.ts';
import { Mark } from '../../../src/agent/mark.ts';
import { OpenConnectionsFile } from '../../../src/agent/open-connections.ts';
import { Spool } from '../../../src/agent/spool.ts';
import { FlowTable } from '../../../src/flow/flow-table.ts';
import type { FlushBatch } from '../../../src/flow/records.ts';
import { batch } from '../../support/batches.ts';
import { counts, losses, named, recordingLog, temporaryDirectory } from './fakes.ts';

const root = temporaryDirectory();
const BOOT = '11111111-0000-4000-8000-000000000000';
const START_MS = 1_772_366_400_000;
let made = 0;

/** A CMDB that answers when and as it is told. */
class FakeSink implements Sink {
  readonly batches: FlushBatch[] = [];
  readonly outage = null;
  isUp = true;
  answer: () => Promise<WriteOutcome> = async () => (this.isUp ? 'written' : 'unavailable');

  async connect(): Promise<boolean> {
    return this.isUp;
  }

  write(each: FlushBatch): Promise<WriteOutcome> {
    this.batches.push(each);
    return this.answer();
  }

  async stop(): Promise<void> {}
}

function world({ keeps = true } = {}) {
  const dataDir = join(root, String(made++));
  mkdirSync(dataDir);
  const { host } = batch();
  const { log } = recordingLog();
  const table = new FlowTable({ hostId: host.hostId, bucketMs: 60_000 });
  table.setHomeNetns(1);
  const coverage = new CoverageTracker();
  const inventory = new Inventory({
    addresses: { records: () => [], settled: () => undefined },
    listening: () => [],
    netnsName: (netns) => table.netnsName(netns),
    refreshMs: 60_000,
  });
  const sink = new FakeSink();
  const spool = new Spool(dataDir, log);
  const openConnections = new OpenConnectionsFile(dataDir, BOOT, log);
  const ledger = new Ledger({ host, epoch: START_MS, table, inventory, coverage });
  const remains = keeps ? { spool, openConnections } : null;
  const mark = new Mark(null);
  const acknowledged: bigint[] = [];
  const supervisor = {
    acknowledge: (generation: bigint): void => {
      acknowledged.push(generation);
    },
  };
  const flusher = new Flusher({ ledger, table, sink, remains, mark, supervisor });
  const open = (opened: number): void => connect(table, inventory, 80, opened);
  coverage.begin({ mode: 'stream', attach: 'tracepoint', note: '' }, START_MS);
  return {
    dataDir,
    sink,
    spool,
    openConnections,
    coverage,
    flusher,
    open,
    table,
    inventory,
    ledger,
    mark,
    acknowledged,
  };
}

function connect(table: FlowTable, inventory: Inventory, port: number, opened = 1): void {
  table.add(
    {
      kind: 'counts',
      firstMs: START_MS,
      lastMs: START_MS,
      flow: {
        netns: 1,
        direction: 'active',
        local: '10.0.0.1',
        peer: '10.0.0.2',
        servicePort: port,
        process: null,
      },
      foundBy: ['stream'],
      counts: counts({ opened }),
    },
    inventory.note(named('7')),
  );
}

const opened = (each: FlushBatch | undefined) => each?.flows[0]?.buckets[0]?.opened;

/** What an agent before left. */
function earlier(dataDir: string, kept: FlushBatch, open = {}): void {
  new Spool(dataDir, recordingLog().log).put(kept, open);
}

/** How many connections of each flow the next agent takes to be counted. */
function openSpooled(dataDir: string): number[] {
  return Object.values(new Spool(dataDir, recordingLog().log).latest()?.open ?? {});
}

/** What the next agent finds. */
async function spooled(dataDir: string): Promise<FlushBatch[]> {
  const sink = new FakeSink();
  await new Spool(dataDir, recordingLog().log).drain(sink);
  return sink.batches;
}

describe('a flush', () => {
  it('writes what changed, and remembers what is open', async () => {
    const { flusher, sink, open, openConnections } = world();
    open(3);
    assert.equal(await flusher.flush(), 'written');
    assert.equal(opened(sink.batches[0]), 3);
    assert.deepEqual(Object.values(openConnections.load().open), [3]);
    assert.equal(await flusher.flush(), 'written');
    assert.deepEqual(sink.batches[1]?.flows, []);
  });

  it('writes what was spooled first', async () => {
    const { flusher, sink, spool, open, dataDir } = world();
    earlier(dataDir, batch({ epoch: 5 }));
    open(3);
    await flusher.flush();
    assert.deepEqual(
      sink.batches.map(({ epoch }) => epoch),
      [5, START_MS],
    );
    assert.equal(spool.isEmpty, true);
  });

  it('lets the kernel forget what disk or CMDB have, and notes up to where', async () => {
    const { flusher, open, mark, acknowledged, openConnections } = world();
    const known = { lost: 0n, missedProbes: 0n };
    mark.position = { setId: '5', generation: 3n, atMs: START_MS, known };
    open(1);
    await flusher.flush();
    assert.deepEqual(acknowledged, [3n, 3n], 'spooled, then written');
    assert.deepEqual(openConnections.load().position, mark.position);
  });

  it('does not let another set of programs forget', async () => {
    const { flusher, open, mark, sink, acknowledged } = world();
    const known = { lost: 0n, missedProbes: 0n };
    mark.position = { setId: '5', generation: 3n, atMs: START_MS, known };
    open(1);
    sink.answer = async () => {
      mark.position = { setId: '6', generation: 1n, atMs: START_MS, known };
      return 'written';
    };
    await flusher.flush();
    assert.deepEqual(acknowledged, [3n]);
  });

  it('keeps everything while the CMDB is away', async () => {
    const { flusher, sink, open, openConnections, dataDir } = world();
    earlier(dataDir, batch({ epoch: 5 }));
    sink.isUp = false;
    open(1);
    assert.equal(await flusher.flush(), 'unavailable');
    open(1);
    assert.equal(await flusher.flush(), 'unavailable');
    assert.deepEqual(openConnections.load().open, {});
    sink.isUp = true;
    assert.equal(await flusher.flush(), 'written');
    assert.equal(opened(sink.batches.at(-1)), 2);
  });

  it('is not begun while another is under way', async () => {
    const { flusher, sink, open } = world();
    open(1);
    const [one, other] = [flusher.flush(), flusher.flush()];
    assert.equal(flusher.isBusy, true);
    assert.deepEqual(await Promise.all([one, other]), ['written', 'written']);
    assert.equal(sink.batches.length, 1);
    assert.equal(flusher.isBusy, false);
  });

  it('gives back what it took when the CMDB can not be used at all', async () => {
    const { flusher, sink, open } = world();
    open(2);
    sink.answer = () => Promise.reject(new Error('newer schema'));
    await assert.rejects(flusher.flush(), /newer schema/);
    sink.answer = async () => 'written';
    await flusher.flush();
    assert.equal(opened(sink.batches.at(-1)), 2);
  });
});

describe('an agent that is killed', () => {
  it('leaves what it was about to write, and which connections that counts', async () => {
    const { flusher, sink, open, openConnections, dataDir } = world();
    open(2);
    await flusher.flush();
    open(3);
    sink.answer = () => new Promise(() => undefined); // it may commit, but nobody will know
    void flusher.flush();
    await tick();
    assert.deepEqual(openSpooled(dataDir), [5]);
    assert.deepEqual(Object.values(openConnections.load().open), [2]);
    const kept = await spooled(dataDir);
    assert.deepEqual(kept.map(opened), [5]);
    assert.deepEqual(
      kept.map(({ epoch }) => epoch),
      [START_MS], // so that writing it again changes nothing
    );
  });

  it('leaves nothing behind when all was acknowledged', async () => {
    const { flusher, open, openConnections, dataDir } = world();
    open(2);
    await flusher.flush();
    assert.deepEqual(await spooled(dataDir), []);
    assert.deepEqual(Object.values(openConnections.load().open), [2]);
  });

  it('has spooled what was counted before the latest attempt of an outage', async () => {
    const { flusher, sink, open, dataDir } = world();
    sink.isUp = false;
    open(2);
    await flusher.flush();
    assert.deepEqual((await spooled(dataDir)).map(opened), [2]);
  });

  it('keeps the spool when it can not say otherwise what was open', async () => {
    const { flusher, open, dataDir } = world();
    mkdirSync(join(dataDir, 'open-connections.json.new')); // as a full disk would
    open(2);
    assert.equal(await flusher.flush(), 'written');
    assert.deepEqual(openSpooled(dataDir), [2]);
  });
});

describe('a flush of more than a transaction should hold', () => {
  it('is written in parts, and what was written of it is not written again', async () => {
    const { flusher, sink, coverage, table, inventory } = world();
    for (let port = 1; port <= 30_000; port++) connect(table, inventory, port);
    coverage.extend(START_MS + 5_000, losses());
    let calls = 0;
    sink.answer = async () => (++calls === 1 ? 'written' : 'unavailable');
    assert.equal(await flusher.flush(), 'unavailable');
    assert.deepEqual(sizes(sink.batches.splice(0)), [
      [20_000, 1, 0],
      [10_000, 0, 1],
    ]);
    sink.answer = async () => 'written';
    assert.equal(await flusher.flush(), 'written');
    const again = sink.batches.splice(0);
    assert.deepEqual(sizes(again), [[10_000, 1, 1]]);
  });

  it('loses only the part that is refused, and says so', async () => {
    const { flusher, sink, coverage, table, inventory, ledger } = world();
    for (let port = 1; port <= 30_000; port++) connect(table, inventory, port);
    coverage.extend(START_MS + 5_000, losses());
    let calls = 0;
    sink.answer = async () => (++calls === 1 ? 'rejected' : 'written');
    assert.equal(await flusher.flush(), 'rejected');
    assert.equal(ledger.rejectedFlows, 20_000);
    await flusher.flush();
    assert.equal(sink.batches.at(-1)?.coverage[0]?.lost, 20_000n);
    assert.deepEqual(sink.batches.at(-1)?.flows, []);
  });

  const sizes = (batches: readonly FlushBatch[]) =>
    batches.map(({ flows, processes, coverage }) => [
      flows.length,
      processes.length,
      coverage.length,
    ]);
});

describe('the last flush', () => {
  it('writes what is left, and spools nothing', async () => {
    const { flusher, sink, spool, open, openConnections } = world();
    open(3);
    await flusher.last(1_000);
    assert.equal(opened(sink.batches[0]), 3);
    assert.equal(spool.isEmpty, true);
    assert.deepEqual(Object.values(openConnections.load().open), [3]);
  });

  it('spools what the CMDB does not take', async () => {
    const { flusher, sink, open, coverage, dataDir } = world();
    sink.isUp = false;
    open(3);
    coverage.extend(START_MS + 5_000, losses());
    await flusher.last(1_000);
    assert.deepEqual(openSpooled(dataDir), [3]);
    const [kept, ...more] = await spooled(dataDir);
    assert.deepEqual(more, []);
    assert.equal(opened(kept), 3);
    assert.equal(kept?.coverage.length, 1);
    assert.equal(kept?.processes[0]?.processId, '7');
  });

  it('spools everything that is known for a CMDB that was replaced', async () => {
    const { flusher, sink, open, dataDir } = world();
    open(3);
    await flusher.flush();
    open(1);
    sink.answer = async () => 'lost-all';
    await flusher.last(1_000);
    const [kept] = await spooled(dataDir);
    assert.equal(opened(kept), 4);
    assert.equal(kept?.processes.length, 1);
  });

  it('waits for the flush under way, then writes the rest', async () => {
    const { flusher, sink, spool, open } = world();
    const [answered, answer] = pending<WriteOutcome>();
    sink.answer = () => answered;
    open(1);
    const first = flusher.flush();
    await tick();
    open(1);
    const last = flusher.last(1_000);
    sink.answer = async () => 'written';
    answer('written');
    assert.equal(await first, 'written');
    await last;
    assert.deepEqual(sink.batches.map(opened), [1, 2]);
    assert.equal(spool.isEmpty, true);
  });

  it('gives a hanging flush up, and what becomes of that later changes nothing', async () => {
    const { flusher, sink, open, dataDir } = world();
    const [answered, answer] = pending<WriteOutcome>();
    sink.answer = () => answered;
    open(2);
    const hanging = flusher.flush();
    await tick();
    open(1);
    const startedMs = performance.now();
    await flusher.last(50);
    assert.ok(performance.now() - startedMs < 500);
    assert.equal(sink.batches.length, 1);
    answer('written');
    assert.equal(await hanging, 'written');
    assert.deepEqual(openSpooled(dataDir), [3]);
    assert.deepEqual((await spooled(dataDir)).map(opened), [3]);
  });

  it('does not begin another write after one that hangs in what was spooled', async () => {
    const { flusher, sink, open, dataDir } = world();
    earlier(dataDir, batch({ epoch: 5 }));
    const [answered, answer] = pending<WriteOutcome>();
    sink.answer = () => answered;
    open(2);
    const hanging = flusher.flush();
    await tick();
    await flusher.last(50);
    answer('written');
    assert.equal(await hanging, 'unavailable');
    assert.equal(sink.batches.length, 1);
    assert.deepEqual((await spooled(dataDir)).map(opened), [2]);
  });

  it('spools nothing when there is nothing to tell', async () => {
    const { flusher, sink, dataDir } = world();
    sink.isUp = false;
    await flusher.last(1_000);
    assert.deepEqual(readdirSync(dataDir), []);
    assert.deepEqual(sink.batches, []);
  });

  it('leaves nothing on the disk, and what is there alone, where nobody keeps the flows', async () => {
    const { flusher, sink, open, dataDir } = world({ keeps: false });
    earlier(dataDir, batch({ epoch: 5 }));
    open(1);
    await flusher.flush();
    open(1);
    sink.isUp = false;
    await flusher.last(1_000);
    assert.deepEqual(readdirSync(dataDir), ['spool']);
    assert.deepEqual(
      (await spooled(dataDir)).map(({ epoch }) => epoch),
      [5],
    );
  });
});

function pending<T>(): [Promise<T>, (value: T) => void] {
  let settle: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => {
    settle = resolve;
  });
  return [promise, settle];
}

/** Lets what is under way get to where it waits. */
function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
