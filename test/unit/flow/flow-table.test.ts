import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FlowTable } from '../../../src/flow/flow-table.ts';
import { BUCKET_MS, counted, ENDPOINTS, FakeCmdb, HOST_ID, nonZero, START_MS } from './support.ts';

function newTable(options: { readonly maxFlows?: number } = {}): FlowTable {
  const table = new FlowTable({ hostId: HOST_ID, bucketMs: BUCKET_MS, ...options });
  table.setHomeNetns(1);
  return table;
}

function rowsOf(taken: ReturnType<FlowTable['takeChanged']>) {
  return taken.records.flatMap(({ buckets }) => buckets.map(nonZero));
}

function flush(table: FlowTable) {
  const rows = rowsOf(table.takeChanged());
  table.written();
  return rows;
}

const CLOSED = { opened: 1, closed: 1 };

describe('FlowTable', () => {
  it('keeps one flow an edge, side and process, whichever pid, port or instance', () => {
    const table = newTable();
    const first = table.add(counted({ opened: 1 }), 'curl');
    const ref = { pid: 7, startTimeNs: 8n };
    assert.equal(table.add(counted({ opened: 2 }, 0, 0, { process: ref }), 'curl'), first);
    for (const [change, process] of [
      [{}, 'wget'],
      [{ direction: 'passive' }, 'curl'],
      [{ peer: '10.0.0.12' }, 'curl'],
      [{ servicePort: 81 }, 'curl'],
      [{ local: '127.0.0.1' }, 'curl'],
      [{ local: '127.0.0.1', netns: 2 }, 'curl'],
    ] as const) {
      table.add(counted({ opened: 1 }, 0, 0, change), process);
    }
    assert.equal(table.size, 7);
    assert.equal(first?.opened, 3);
  });

  it('says whether an announced flow is new, and writes nothing of it until it counts', () => {
    const table = newTable();
    const flow = table.announce(ENDPOINTS, 'curl', START_MS + 300);
    assert.ok(flow);
    assert.equal(table.announce(ENDPOINTS, 'curl', START_MS + 400), null);
    // A connect that never gets an answer hangs for minutes before it fails.
    assert.deepEqual(flush(table), []);
    table.roll(START_MS + 130_000);
    assert.deepEqual(flush(table), []);
    table.add(counted({ timedOut: 1 }, 131_000), 'curl');
    assert.deepEqual(flush(table), [{ at: 131_000, failedTimedOut: 1 }]);
  });

  it('writes no row before the bucket in which a new flow counts', () => {
    const table = newTable();
    table.add(counted({ opened: 1 }, 900, 1_100), 'curl');
    assert.deepEqual(flush(table), [{ at: 1_000, opened: 1, openMax: 1, openNow: 1 }]);
  });

  it('counts connections of unknown direction instead of guessing', () => {
    const table = newTable();
    const flow = { direction: 'unknown' } as const;
    assert.equal(table.announce({ ...ENDPOINTS, ...flow }, 'curl', START_MS), null);
    assert.equal(table.add(counted({ opened: 2, found: 3, closed: 9 }, 0, 0, flow), 'curl'), null);
    assert.deepEqual([table.size, table.unknownDirection], [0, 5n]);
  });

  it('counts reports that find it full; flows that it has go on', () => {
    const table = newTable({ maxFlows: 2 });
    const add = (servicePort: number) =>
      table.add(counted({ opened: 1 }, 0, 0, { servicePort }), 'p');
    assert.ok(add(1));
    assert.ok(table.announce({ ...ENDPOINTS, servicePort: 2 }, 'p', START_MS));
    assert.equal(table.overflowed, 0n);
    assert.equal(add(3), null);
    assert.equal(table.announce({ ...ENDPOINTS, servicePort: 4 }, 'p', START_MS), null);
    assert.ok(add(1));
    assert.ok(add(2));
    assert.deepEqual([table.size, table.overflowed], [2, 2n]);
  });

  it('makes room by forgetting idle flows', () => {
    const table = newTable({ maxFlows: 1 });
    table.add(counted(CLOSED, 0, 0, { servicePort: 1 }), 'p');
    flush(table);
    table.roll(START_MS + 1_000);
    assert.ok(table.add(counted(CLOSED, 1_000, 1_000, { servicePort: 2 }), 'p'));
    assert.equal(table.overflowed, 0n);
  });

  it('forgets a flow only when it is written, closed, and its bucket is over', () => {
    const table = newTable();
    table.add(counted(CLOSED, 0, 0, { servicePort: 1 }), 'p');
    table.add(counted({ opened: 1 }, 0, 0, { servicePort: 2 }), 'p');
    table.roll(START_MS + 5_000);
    assert.equal(table.size, 2, 'not written');
    const taken = table.takeChanged();
    table.roll(START_MS + 6_000);
    table.roll(START_MS + 7_000);
    assert.equal(table.size, 2, 'a write is under way');
    table.failed(taken);
    table.roll(START_MS + 8_000);
    assert.equal(table.size, 2, 'the write failed');
    flush(table);
    table.roll(START_MS + 8_500);
    assert.equal(table.size, 2, 'in its bucket');
    table.roll(START_MS + 9_000);
    assert.equal(table.size, 1, 'the open one stays');
    table.add(counted({ closed: 1 }, 9_500, 9_500, { servicePort: 2 }), 'p');
    flush(table);
    table.roll(START_MS + 10_000);
    assert.equal(table.size, 0);
  });

  it('forgets a flow that closed at once in the next bucket', () => {
    const table = newTable();
    table.add(counted(CLOSED), 'p');
    flush(table);
    table.roll(START_MS + 999);
    assert.equal(table.size, 1);
    table.roll(START_MS + 1_000);
    assert.equal(table.size, 0);
  });

  it('begins no second row for the bucket of a flow it forgot', () => {
    const table = newTable();
    const cmdb = new FakeCmdb();
    const write = () => {
      cmdb.write(table.takeChanged().records, 1);
      table.written();
    };
    const flow = table.add(counted({ opened: 5, closed: 5 }, 100, 200), 'p');
    write();
    table.roll(START_MS + 1_001);
    assert.equal(table.size, 0);
    // Happened just before the bucket ended, told just after.
    table.announce(ENDPOINTS, 'p', START_MS + 998);
    table.add(counted({ opened: 2, closed: 2 }, 998, 999), 'p');
    write();
    assert.equal(cmdb.connections(flow?.identity.flowId ?? ''), 7);
  });

  it('lets new flows begin in the present after the clock was set back', () => {
    const table = newTable();
    table.add(counted(CLOSED, 7_200_000), 'p');
    flush(table);
    table.roll(START_MS + 7_201_000);
    assert.equal(table.size, 0);
    table.roll(START_MS);
    table.add(counted(CLOSED, 100), 'p');
    // The row of that bucket may be there already.
    assert.deepEqual(flush(table), [{ at: 0, epoch: 1, opened: 1, openMax: 1 }]);
  });

  it('goes on in the present with what is open when the clock is set back', () => {
    const table = newTable();
    table.add(counted({ opened: 3 }, 0), 'p');
    table.add(counted({ opened: 2 }, 7_200_000), 'p');
    table.roll(START_MS + 7_200_500);
    flush(table);
    table.add(counted({ opened: 1 }, 7_200_000), 'p');
    table.roll(START_MS + 5_000);
    table.add(counted({ opened: 1, closed: 4 }, 5_000), 'p');
    table.roll(START_MS + 4_500); // less than a bucket: as before
    const open = { openAtStart: 6, openMax: 6, openNow: 3 };
    assert.deepEqual(flush(table), [
      { at: 7_200_000, openAtStart: 3, opened: 3, openMax: 6, openNow: 6 },
      { at: 5_000, epoch: 1, opened: 1, ...open },
    ]);
    table.roll(START_MS); // once more
    assert.deepEqual(flush(table), [{ at: 0, epoch: 2, openAtStart: 3, openMax: 3, openNow: 3 }]);
  });

  it('hands out what changed, once', () => {
    const table = newTable();
    table.add(counted(CLOSED, 0, 0, { servicePort: 1 }), 'p');
    table.add(counted(CLOSED, 0, 0, { servicePort: 2 }), 'p');
    assert.equal(flush(table).length, 2);
    assert.deepEqual(flush(table), []);
    table.add(counted(CLOSED, 10, 10, { servicePort: 2 }), 'p');
    assert.deepEqual(flush(table), [{ at: 0, opened: 2, openMax: 1 }]);
  });

  it('writes the quiet buckets of open connections', () => {
    const table = newTable();
    table.add(counted({ opened: 1 }), 'p');
    flush(table);
    table.roll(START_MS + 2_000);
    const quiet = { openAtStart: 1, openMax: 1, openNow: 1 };
    assert.deepEqual(flush(table), [
      { at: 1_000, ...quiet },
      { at: 2_000, ...quiet },
    ]);
  });

  it('writes everything it has to a database that has lost it', () => {
    const table = newTable();
    table.add(counted(CLOSED, 0, 0, { servicePort: 1 }), 'p');
    table.add(counted({ opened: 1 }, 0, 0, { servicePort: 2 }), 'p');
    flush(table);
    table.markAll();
    assert.equal(flush(table).length, 2);
  });

  it('hands over what is open, also what it was handed itself and has not seen yet', () => {
    const agents = [newTable(), newTable(), newTable()] as const;
    agents[0].add(counted({ opened: 2 }), 'p');
    agents[0].add(counted(CLOSED, 0, 0, { servicePort: 81 }), 'p');
    const left = agents[0].openConnections();
    assert.deepEqual(Object.values(left), [2]);
    // The second one is stopped before its first snapshot.
    agents[1].restore(left);
    agents[1].add(counted({ opened: 1 }, 100, 100, { servicePort: 82 }), 'p');
    agents[2].restore(agents[1].openConnections());
    assert.equal(agents[2].add(counted({ found: 2 }, 200), 'p')?.opened, 0);
    agents[2].settle();
    assert.deepEqual(agents[2].openConnections(), left);
  });

  it('hands over through JSON, as the agent keeps it', () => {
    const [before, after] = [newTable(), newTable()];
    before.add(counted({ opened: 2 }), 'p');
    before.suspend();
    after.restore(JSON.parse(JSON.stringify(before.openConnections())));
    assert.equal(after.add(counted({ found: 3 }), 'p')?.opened, 1);
  });

  it('counts as new what turns up after the first snapshot did not show it', () => {
    const [before, after] = [newTable(), newTable()];
    before.add(counted({ opened: 2 }), 'p');
    after.restore(before.openConnections());
    after.settle();
    assert.deepEqual(after.openConnections(), {});
    assert.equal(after.add(counted({ found: 2 }), 'p')?.opened, 2);
  });
});
