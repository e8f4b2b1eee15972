import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { CmdbWriter } from '../../src/cmdb/writer.ts';
import type { FlowBucketRecord, FlushBatch } from '../../src/flow/records.ts';
import { queryDiff } from '../../src/query/diff.ts';
import { batch, bucket, flow, NOON } from '../support/batches.ts';
import {
  silentLog,
  startTestPostgres,
  type TestPostgres,
  withClient,
} from '../support/postgres.ts';
import { Chain } from './chain.ts';
import { at, writeWorld } from './query-world.ts';

let postgres: TestPostgres;
before(async () => {
  postgres = await startTestPostgres();
});
after(async () => {
  await postgres.stop();
});

/** `DAY USED FAILED`, each a list of slots as `FIRST-LAST`. */
async function marks(config: pg.ClientConfig): Promise<string[]> {
  const rows = await postgres.query<{ day: string; used: string; failed: string | null }>(
    config,
    'SELECT day::text, used::text, failed::text FROM flow_days ORDER BY day, flow_id',
  );
  const slots = (bits: string | null): string =>
    [...(bits ?? '').matchAll(/1+/g)]
      .map((run) => `${run.index}-${run.index + run[0].length - 1}`)
      .join(',') || (bits === null ? 'null' : 'none');
  return rows.map(({ day, used, failed }) => `${day} ${slots(used)} ${slots(failed)}`);
}

async function write(config: pg.ClientConfig, ...batches: FlushBatch[]): Promise<void> {
  const writer = new CmdbWriter({ config, log: silentLog });
  try {
    for (const one of batches) await writer.write(one);
  } finally {
    await writer.close();
  }
}

function report(epoch: number, ...buckets: Partial<FlowBucketRecord>[]): FlushBatch {
  return batch({ epoch, flows: [flow({ buckets: buckets.map((one) => bucket(one)) })] });
}

const day = NOON.toISOString().slice(0, 10);
const start = (minutes: number): Date => new Date(NOON.getTime() + minutes * 60_000);
const QUIET = { opened: 0, openAtStart: 0, openMax: 0, openNow: 0 };

describe('flow_days', () => {
  it('marks the five minutes that buckets overlap, whatever their length', async () => {
    const config = await postgres.createDatabase();
    await write(
      config,
      report(
        1,
        { bucketStart: start(0) },
        { bucketStart: start(7), bucketSeconds: 60 },
        { bucketStart: start(60), bucketSeconds: 3_600 },
        { bucketStart: start(180), ...QUIET, failedRefused: 1 },
        { bucketStart: start(715) },
      ),
    );
    assert.deepEqual(await marks(config), [`${day} 144-145,156-167,287-287 180-180`]);
  });

  it('only adds marks: retries, late batches and other epochs take none away', async () => {
    const config = await postgres.createDatabase();
    const early = report(1, { bucketStart: start(0) }, { ...QUIET, bucketStart: start(5) });
    const late = report(2, { bucketStart: start(20) });
    await write(config, early, late);
    const once = await marks(config);
    assert.deepEqual(once, [`${day} 144-144,148-148 null`]);
    const rows = 'SELECT ctid, xmin FROM flow_days UNION ALL SELECT ctid, xmin FROM bucket_lengths';
    const untouched = await postgres.query(config, rows);
    await write(config, late, early, early);
    assert.deepEqual(await marks(config), once);
    assert.deepEqual(await postgres.query(config, rows), untouched);
    await write(config, report(1, { bucketStart: start(0), ...QUIET, failedOther: 1 }));
    assert.deepEqual(await marks(config), [`${day} 144-144,148-148 144-144`]);
  });

  it('agrees with history on ranges that cut five minutes and buckets', async () => {
    const chain = new Chain(['a', 'b', 'c', 'd', 'e']);
    const on = (minute: number, seconds = 60, length = 300) => ({
      firstSeen: at(minute),
      lastSeen: new Date(at(minute).getTime() + seconds * 1_000),
      buckets: [
        {
          at: Math.floor((minute * 60) / length) * (length / 60),
          bucketSeconds: length,
          opened: 1,
        },
      ],
    });
    chain
      .connect('a', 'b', on(11))
      .connect('a', 'c', on(13))
      .connect('a', 'd', on(43, 60, 3_600))
      .connect('a', 'e', on(50, 60, 3_600));
    const config = await postgres.createDatabase();
    await writeWorld(config, [...chain.hosts.values()]);
    const changes = async (cut: number, end: number): Promise<string[]> => {
      const found = await withClient(config, (client) =>
        queryDiff(client, { since: at(-60), until: at(cut) }, { since: at(cut), until: at(end) }),
      );
      const names = new Map(found.nodes.map((node) => [node.id, node.process]));
      return found.edges.map((edge) => `${edge.change} ${names.get(edge.passive)}`).sort();
    };
    assert.deepEqual(await changes(12.5, 47), ['gone b', 'new c', 'new d']);
    assert.deepEqual(await changes(45, 60), ['gone b', 'gone c', 'gone d', 'new e']);
    assert.deepEqual(await changes(10, 12), ['new b']);
  });
});
