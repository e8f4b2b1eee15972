import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { CmdbUnavailable } from '../../src/cmdb/errors.ts';
import { endOfPartition, pruneCmdb } from '../../src/cmdb/prune.ts';
import { CmdbWriter } from '../../src/cmdb/writer.ts';
import { ExitCode, UserError } from '../../src/common/exit-codes.ts';
import type { FlushBatch } from '../../src/flow/records.ts';
import {
  silentLog,
  startTestPostgres,
  type TestPostgres,
  withClient,
} from '../support/postgres.ts';
import { Chain } from './chain.ts';
import { at, WorldHost, writeWorld } from './query-world.ts';

const DAY = 24 * 60;

let postgres: TestPostgres;
before(async () => {
  postgres = await startTestPostgres();
});
after(async () => {
  await postgres.stop();
});

const on = (day: number) => ({
  firstSeen: at(day * DAY),
  lastSeen: at(day * DAY + 1),
  buckets: [{ at: day * DAY, opened: 1 }],
});

async function counts(config: pg.ClientConfig): Promise<Record<string, number>> {
  const tables = 'flows flow_history passive_nodes processes coverage hosts host_addresses'.split(
    ' ',
  );
  const rows = await Promise.all(
    tables.map(async (table) => {
      const [row] = await postgres.query<{ n: number }>(
        config,
        `SELECT count(*)::int AS n FROM ${table}`,
      );
      return [table, row?.n ?? -1] as const;
    }),
  );
  return Object.fromEntries(rows);
}

describe('prune', () => {
  it('removes what is older, and nothing else', async () => {
    const config = await postgres.createDatabase();
    const chain = new Chain(['app', 'db', 'old'])
      .connect('app', 'db', on(10))
      .connect('old', 'db', on(0));
    await writeWorld(config, [...chain.hosts.values()], at(0).getTime());
    // The host of app reports on, that of old does not: its batch stays five minutes after noon.
    for (const name of ['app', 'db']) {
      await postgres.query(config, 'UPDATE hosts SET last_seen = $2 WHERE host_id = $1', [
        chain.host(name).hostId,
        at(10 * DAY),
      ]);
      await postgres.query(config, 'UPDATE coverage SET to_time = $2 WHERE host_id = $1', [
        chain.host(name).hostId,
        at(10 * DAY),
      ]);
    }
    const pruned = await withClient(config, (client) => pruneCmdb(client, at(5 * DAY)));
    assert.deepEqual(pruned, {
      days: 1,
      flows: 2,
      passiveNodes: 3,
      processes: 2,
      containers: 0,
      addresses: 9,
      coverage: 1,
      hosts: 1,
    });
    assert.deepEqual(await counts(config), {
      flows: 2,
      flow_history: 2,
      passive_nodes: 0,
      processes: 4,
      coverage: 2,
      hosts: 2,
      host_addresses: 0,
    });
    const again = await withClient(config, (client) => pruneCmdb(client, at(5 * DAY)));
    assert.ok(Object.values(again).every((count) => count === 0));
  });

  it('keeps processes that a running agent takes to be there, and those in use', async () => {
    const config = await postgres.createDatabase();
    const host = new WorldHost('web-1', ['10.0.0.1'])
      .process('idle')
      .covered({ from: at(0), to: at(10 * DAY) });
    await writeWorld(config, [host], at(-1).getTime());
    const prune = () => withClient(config, (client) => pruneCmdb(client, at(5 * DAY)));
    await postgres.query(config, 'UPDATE hosts SET last_seen = $1', [at(10 * DAY)]);
    assert.equal((await prune()).processes, 0);
    // A newer agent will write anew what it sees.
    await postgres.query(config, 'UPDATE coverage SET epoch = $1', [at(DAY).getTime()]);
    assert.equal((await prune()).processes, 2);
  });

  it('keeps the day that the limit cuts', () => {
    assert.deepEqual(endOfPartition('flow_history_20250228'), new Date('2025-03-01T00:00:00Z'));
    assert.equal(endOfPartition('flow_history_default'), null);
    assert.equal(endOfPartition('something_20250228'), null);
  });

  it('is safe while agents write', async () => {
    const config = await postgres.createDatabase();
    const writer = new CmdbWriter({ config, log: silentLog });
    const flushes = Array.from({ length: 30 }, (_, index) => {
      const host = new WorldHost(`h-${index % 5}`, [`10.0.0.${index % 5}`]).process('app');
      const flow = { active: `10.0.0.${index % 5}`, passive: '10.0.1.1', port: 80 };
      for (const day of [0, 10]) {
        const port = 80 + day;
        host.flow({ ...flow, ...on(day), port, side: 'active', process: 'app' });
      }
      return host.batch(at(9 * DAY).getTime() + index);
    });
    // As an agent does: what the CMDB does not take now is written again.
    const write = async (batch: FlushBatch): Promise<void> => {
      for (;;) {
        try {
          await writer.write({ ...batch, at: at(10 * DAY) });
          return;
        } catch (error) {
          if (!(error instanceof CmdbUnavailable)) throw error;
        }
      }
    };
    const writing = Promise.all(flushes.map(write));
    await withClient(config, async (client) => {
      for (let round = 0; round < 10; round += 1) await pruneCmdb(client, at(5 * DAY));
      await writing;
      await pruneCmdb(client, at(5 * DAY));
    });
    await writer.close();
    const left = await counts(config);
    assert.deepEqual([left['flows'], left['flow_history'], left['hosts']], [30, 30, 30]);
  });

  it('says so when the role may not', async () => {
    const config = await postgres.createDatabase();
    const host = new WorldHost('web-1', []).process('app');
    await writeWorld(config, [host]);
    await postgres.query(config, 'DROP ROLE IF EXISTS nobody_at_all');
    await postgres.query(config, 'CREATE ROLE nobody_at_all');
    const refusal = withClient(config, async (client) => {
      await client.query('SET ROLE nobody_at_all');
      return await pruneCmdb(client, at(DAY));
    });
    await assert.rejects(
      refusal,
      (error) => error instanceof UserError && error.exitCode === ExitCode.unsupported,
    );
  });
});
