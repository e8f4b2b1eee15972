import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as rows from '../../../src/cmdb/rows.ts';
import {
  batch,
  bucket,
  coverage,
  flow,
  hostId,
  NOON,
  processRecord,
} from '../../support/batches.ts';

const LATER = new Date(NOON.getTime() + 60_000);

describe('rows of a flush', () => {
  it('makes one flow of two reports of it', () => {
    const [merged, ...others] = rows.uniqueFlows([
      flow({ foundBy: ['stream'], lastSeen: LATER }),
      flow({ foundBy: ['snapshot'], firstSeen: new Date(0) }),
    ]);
    assert.equal(others.length, 0);
    assert.deepEqual(merged?.foundBy, ['stream', 'snapshot']);
    assert.deepEqual([merged?.firstSeen, merged?.lastSeen], [new Date(0), LATER]);
    assert.equal(merged?.buckets.length, 2);
  });

  it('makes one history row of two totals of a bucket: the larger ones, but what was open last', () => {
    const buckets = [bucket({ opened: 9, openNow: 4 }), bucket({ opened: 8, openNow: 2 })];
    const [row, ...others] = [...rows.historyRows(hostId(1), 7, [flow({ buckets })])];
    assert.equal(others.length, 0);
    assert.deepEqual(row?.slice(0, 9), [hostId(1), '11', NOON, 7, 300, 9, 1, 2, 2]);
  });

  it('names sides and evidence as the schema does', () => {
    const [active, passive] = rows.flowRows(hostId(1), [
      flow({ foundBy: ['stream', 'snapshot', 'destroy'] }),
      flow({ side: 'passive', foundBy: ['destroy'] }),
    ]);
    assert.deepEqual([active?.[3], active?.[9]], ['A', 7]);
    assert.deepEqual([passive?.[3], passive?.[9]], ['P', 4]);
  });

  it('drops IPv6 zones, which inet does not know', () => {
    const addresses = [
      { address: 'fe80::1%eth0', netns: '', hostLocal: true, firstSeen: NOON, lastSeen: NOON },
    ];
    assert.deepEqual(rows.addressColumns(batch({ addresses }))[0], ['fe80::1']);
    const [row] = rows.flowRows(hostId(1), [flow({ activeAddress: 'fe80::2%3' })]);
    assert.equal(row?.[6], 'fe80::2');
  });

  it('keeps counters within their columns', () => {
    const buckets = [bucket({ openMax: 2 ** 40, bytesToPassive: 2n ** 70n })];
    const [row] = rows.historyRows(hostId(1), 7, [flow({ buckets })]);
    assert.equal(row?.[7], 2_147_483_647);
    assert.equal(row?.[13], 9_223_372_036_854_775_807n);
  });

  it('takes the last of several records of a process, and unites coverage', () => {
    const processes = [processRecord({ name: 'old' }), processRecord({ name: 'n\0ew' })];
    assert.deepEqual(rows.processColumns(batch({ processes }))[1], ['new']);
    const records = [coverage({ to: LATER, note: 'late' }), coverage({ lost: 5n, note: 'early' })];
    const columns = rows.coverageColumns(batch({ coverage: records }));
    assert.deepEqual(columns[1], [LATER.toISOString()]);
    assert.deepEqual([columns[5], columns[7]], [['5'], ['late']]);
  });

  it('lists the UTC days history falls into', () => {
    const at = (text: string) => bucket({ bucketStart: new Date(text) });
    const buckets = [
      at('2026-03-02T00:00:00Z'),
      at('2026-03-01T23:59:59Z'),
      at('1969-12-31T12:00:00Z'),
    ];
    assert.deepEqual(rows.historyDays([flow({ buckets }), flow()]), [
      '1969-12-31',
      '2026-03-01',
      '2026-03-02',
    ]);
  });
});
