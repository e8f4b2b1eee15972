import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FlowTable } from '../../../src/flow/flow-table.ts';
import type { FlowBucketRecord } from '../../../src/flow/records.ts';
import { Simulation, type Step } from './simulation.ts';
import { BUCKET_MS, counted, FakeCmdb, HOST_ID, nonZero, START_MS } from './support.ts';

const small = fc.integer({ min: 0, max: 4 });
const port = fc.integer({ min: 0, max: 1 });

function newTable(): FlowTable {
  return new FlowTable({ hostId: HOST_ID, bucketMs: BUCKET_MS });
}

const traffic: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom('open', 'close', 'fail', 'move'),
  port,
  n: small,
});
const tick: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('tick'),
  ms: fc.integer({ min: 0, max: 2_500 }),
});
const report: fc.Arbitrary<Step> = fc.record({ do: fc.constant('report'), split: fc.boolean() });
const writing: fc.Arbitrary<Step> = fc.oneof(
  fc.constant<Step>({ do: 'take' }),
  fc.record({
    do: fc.constant('end-write' as const),
    outcome: fc.constantFrom('written' as const, 'failed' as const, 'answer lost' as const),
  }),
);
const daily = [traffic, tick, report, writing];

function steps(
  ...trouble: readonly Extract<Step['do'], 'crash' | 'recover' | 'restart' | 'kill'>[]
) {
  const bad = trouble.map((what) => fc.constant<Step>({ do: what }));
  return fc.array(fc.oneof(...daily, ...daily, ...bad), { maxLength: 60, size: 'max' });
}

function simulate(list: readonly Step[]): Simulation {
  const simulation = new Simulation();
  simulation.run(list);
  return simulation;
}

function total(rows: readonly FlowBucketRecord[], of: (row: FlowBucketRecord) => bigint): bigint {
  return rows.reduce((sum, row) => sum + of(row), 0n);
}

/** Failures and bytes are what was reported, however often it was written. */
function assertTotals(simulation: Simulation): void {
  for (const service of simulation.services) {
    const rows = simulation.cmdb.rows(simulation.flowId(service.port));
    assert.equal(
      total(rows, (row) => BigInt(row.failedRefused)),
      BigInt(service.reportedRefused),
    );
    assert.equal(
      total(rows, (row) => row.bytesToPassive),
      service.reportedBytes,
    );
  }
}

describe('FlowTable, whatever happens', () => {
  it('comes to the same totals for any order and splitting of reports', () => {
    const part = fc.record({
      opened: small,
      refused: small,
      timedOut: small,
      unreachable: small,
      failedOther: small,
      bytesSent: fc.bigInt({ min: 0n, max: 1n << 62n }),
      bytesReceived: fc.bigInt({ min: 0n, max: 9n }),
      retransmits: small,
    });
    const parts = fc.array(fc.tuple(part, fc.integer({ min: 0, max: 5_000 })), { minLength: 1 });
    const cases = parts.chain((list) =>
      fc.tuple(
        fc.constant(list),
        fc.shuffledSubarray(list, { minLength: list.length }),
        fc.array(fc.boolean(), { minLength: list.length, maxLength: list.length }),
      ),
    );
    const outcome = (
      list: readonly (typeof parts extends fc.Arbitrary<infer P> ? P : never)[number][],
      flushes: readonly boolean[],
    ) => {
      const table = newTable();
      const cmdb = new FakeCmdb();
      const write = (): void => {
        cmdb.write(table.takeChanged().records, 1);
        table.written();
      };
      let flow = null;
      for (const [i, [counts, atMs]] of list.entries()) {
        flow = table.add(counted(counts, atMs), 'p');
        if (flushes[i] === true) write();
      }
      write();
      const rows = cmdb.rows(flow?.identity.flowId ?? '');
      const { opened, failed, bytesToPassive, bytesToActive, open } = flow ?? {};
      const sums = [
        total(rows, (row) => BigInt(row.opened)),
        total(rows, (row) => BigInt(row.failedRefused + row.failedTimedOut)),
        total(rows, (row) => BigInt(row.failedUnreachable + row.failedOther)),
        total(rows, (row) => row.bytesToPassive),
        total(rows, (row) => row.bytesToActive),
        total(rows, (row) => BigInt(row.retransmits)),
      ];
      return { opened, failed, bytesToPassive, bytesToActive, open, sums };
    };
    fc.assert(
      fc.property(cases, ([list, shuffled, flushes]) => {
        const once = outcome(list, []);
        assert.deepEqual(outcome(shuffled, flushes), once);
        assert.deepEqual(once.sums.slice(0, 1), [
          BigInt(list.reduce((sum, [counts]) => sum + counts.opened, 0)),
        ]);
      }),
    );
  });

  it('has exactly one row for every bucket in which something was open or happened', () => {
    const step = fc.record({
      opened: small,
      closed: small,
      refused: small,
      tickMs: fc.oneof(fc.integer({ min: 0, max: 700 }), fc.integer({ min: 0, max: 4_500 })),
      write: fc.constantFrom('no', 'written', 'failed'),
    });
    fc.assert(
      fc.property(fc.array(step), (list) => {
        const table = newTable();
        const cmdb = new FakeCmdb();
        const expected = new Map<number, Record<string, number>>();
        let [open, nowMs, bucket, max] = [0, 0, 0, 0];
        let flowId = '';
        const note = (fields: Record<string, number>): void => {
          expected.set(bucket, { ...expected.get(bucket), ...fields });
        };
        for (const { opened, closed: wanted, refused, tickMs, write } of list) {
          nowMs += tickMs;
          while (bucket + BUCKET_MS <= nowMs) {
            bucket += BUCKET_MS;
            max = open;
            if (open > 0) note({ openAtStart: open, openMax: open, openNow: open });
          }
          const closed = Math.min(wanted, open + opened);
          if (opened + closed + refused > 0) {
            open += opened - closed;
            max = Math.max(max, open, opened > 0 ? 1 : 0);
            const so = expected.get(bucket) ?? {};
            note({
              opened: (so['opened'] ?? 0) + opened,
              failedRefused: (so['failedRefused'] ?? 0) + refused,
              openMax: max,
              openNow: open,
            });
            const flow = table.add(counted({ opened, closed, refused }, nowMs), 'p');
            flowId = flow?.identity.flowId ?? '';
          }
          table.roll(START_MS + nowMs);
          if (write === 'no') continue;
          const taken = table.takeChanged();
          if (write === 'failed') {
            table.failed(taken);
          } else {
            cmdb.write(taken.records, 1);
            table.written();
          }
        }
        cmdb.write(table.takeChanged().records, 1);
        table.written();
        assert.deepEqual(
          cmdb.rows(flowId).map(({ epoch: _, ...row }) => nonZero(row)),
          [...expected].map(([at, row]) => ({
            at,
            ...Object.fromEntries(Object.entries(row).filter(([, value]) => value !== 0)),
          })),
        );
      }),
    );
  });

  it('counts every connection once, through failed writes and idle times', () => {
    fc.assert(
      fc.property(steps(), (list) => {
        const simulation = simulate(list);
        assertTotals(simulation);
        for (const { port: of, known } of simulation.services) {
          assert.equal(simulation.cmdb.connections(simulation.flowId(of)), known);
        }
      }),
    );
  });

  it('counts everything once although the clock is set forward and back', () => {
    const clock: fc.Arbitrary<Step> = fc.record({
      do: fc.constant('set-clock'),
      ms: fc.oneof(
        fc.integer({ min: -2 * BUCKET_MS, max: 2 * BUCKET_MS }),
        fc.integer({ min: -50 * BUCKET_MS, max: 50 * BUCKET_MS }),
      ),
    });
    const list = fc.array(fc.oneof(...daily, ...daily, clock), { maxLength: 60, size: 'max' });
    fc.assert(
      fc.property(list, (taken) => {
        const simulation = simulate(taken);
        assertTotals(simulation);
        for (const { port: of, known, open } of simulation.services) {
          const flowId = simulation.flowId(of);
          assert.equal(
            total(simulation.cmdb.rows(flowId), (row) => BigInt(row.opened)),
            BigInt(known),
          );
          assert.equal(simulation.table.openConnections()[flowId] ?? 0, open.length);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('counts no connection twice, and loses none that it was told the end of', () => {
    fc.assert(
      fc.property(steps('crash', 'recover', 'recover', 'restart'), (list) => {
        const simulation = simulate(list);
        assertTotals(simulation);
        for (const { port: of, known, endedUnseen } of simulation.services) {
          const counts = simulation.cmdb.connections(simulation.flowId(of));
          assert.ok(counts <= known, `${counts} of ${known} connections`);
          assert.ok(counts >= known - endedUnseen, `${counts} of ${known} - ${endedUnseen}`);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('counts no connection twice although agents are killed', () => {
    // Killed before it knew that a write had succeeded, an agent can't have said so to the next one.
    const isKnown = (step: Step): boolean =>
      step.do !== 'end-write' || step.outcome !== 'answer lost';
    fc.assert(
      fc.property(steps('crash', 'recover', 'recover', 'restart', 'kill'), (list) => {
        const simulation = simulate(list.filter(isKnown));
        for (const { port: of, known } of simulation.services) {
          const counts = simulation.cmdb.connections(simulation.flowId(of));
          assert.ok(counts <= known, `${counts} of ${known} connections`);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('forgets every flow in the end', () => {
    fc.assert(
      fc.property(steps(), fc.nat({ max: 5 }), (list, more) => {
        const { table, services } = simulate(list);
        const end = 1_000_000;
        for (const service of services) {
          const closed = service.open.length;
          if (closed > 0)
            table.add(counted({ closed }, end, end, { servicePort: service.port }), 'p');
        }
        table.roll(START_MS + end);
        table.takeChanged();
        table.written();
        table.roll(START_MS + end + BUCKET_MS);
        table.roll(START_MS + end + (2 + more) * BUCKET_MS);
        assert.equal(table.size, 0);
      }),
    );
  });
});
