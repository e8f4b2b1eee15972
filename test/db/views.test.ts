import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { packageRoot } from '../../src/cmdb/package-root.ts';
import { queryFlows } from '../../src/query/deps.ts';
import { startTestPostgres, type TestPostgres, withClient } from '../support/postgres.ts';
import { Chain } from './chain.ts';
import { at, HOUR, WorldHost, writeWorld } from './query-world.ts';

let postgres: TestPostgres;
let config: pg.ClientConfig;

/** app -> db, seen by both; stray -> db and app -> away, by one; two processes of web share an address. */
function world(): WorldHost[] {
  const used = { firstSeen: at(0), lastSeen: at(9) };
  const chain = new Chain(['app', 'db', 'stray?', 'away?', 'web'])
    .connect('app', 'db', used, [
      { at: 0, opened: 2, openAtStart: 1, openNow: 3, bytesToPassive: 10n },
      { at: 5, opened: 4, openAtStart: 3, openNow: 1, bytesToPassive: 20n },
    ])
    .connect('stray', 'db', { ...used, buckets: [{ opened: 7, openNow: 2 }] })
    .connect('app', 'away', { ...used, buckets: [{ opened: 5 }] })
    .fail('app', 'web');
  const [active, passive] = [chain.address('web'), chain.address('db')];
  const flow = { active, passive, port: 80, ...used };
  const web = chain.host('web').process('cron');
  web.flow({ ...flow, side: 'active', process: 'web', buckets: [{ opened: 3 }] });
  web.flow({ ...flow, side: 'active', process: 'cron', buckets: [{ opened: 1 }] });
  chain.host('db').flow({ ...flow, side: 'passive', process: 'db', buckets: [{ opened: 4 }] });
  const gap = { from: at(-10), to: at(-5), gap: true, note: 'helper restarted' };
  chain.host('app').covered(gap);
  const idle = new WorldHost('h-idle', ['10.9.9.9'])
    .covered({ from: at(-100), to: at(-90) })
    .covered({ from: at(-95), to: at(-80) })
    .covered({ from: at(-70), to: at(-60) });
  return [...chain.hosts.values(), idle];
}

before(async () => {
  postgres = await startTestPostgres();
  config = await postgres.createDatabase();
  await writeWorld(config, world());
});
after(() => postgres?.stop());

const query = <R extends pg.QueryResultRow>(sql: string): Promise<R[]> =>
  postgres.query<R>(config, sql);

describe('the view edges', () => {
  it('names both ends and counts each edge once, by its active side if that was seen', async () => {
    const rows = await query(`
      SELECT concat_ws(' ', active_host, active_process, host(active_address)) AS active,
        concat_ws(' ', passive_host, passive_process, passive_unit, host(passive_address), passive_port) AS passive,
        seen_by, connections::int, failed::int, open, bytes_to_passive::int AS bytes
      FROM edges ORDER BY 1, 2`);
    const db = 'h-db db db.service 10.0.0.2 80';
    const none = { failed: 0, open: 0, bytes: 0 };
    assert.deepEqual(rows, [
      { active: '10.0.0.3', passive: db, seen_by: 'passive', connections: 7, ...none, open: 2 },
      {
        active: 'h-app app 10.0.0.1',
        passive: '10.0.0.4 80',
        seen_by: 'active',
        connections: 5,
        ...none,
      },
      {
        active: 'h-app app 10.0.0.1',
        passive: '10.0.0.5 80',
        seen_by: 'active',
        connections: 0,
        ...none,
        failed: 3,
      },
      {
        active: 'h-app app 10.0.0.1',
        passive: db,
        seen_by: 'both',
        connections: 7,
        failed: 0,
        open: 1,
        bytes: 30,
      },
      { active: 'h-web cron 10.0.0.5', passive: db, seen_by: 'both', connections: 1, ...none },
      { active: 'h-web web 10.0.0.5', passive: db, seen_by: 'both', connections: 3, ...none },
    ]);
  });

  it('comes to the same sums as ttctl flows', async () => {
    const flows = await withClient(config, (client) => queryFlows(client, HOUR));
    const sum = (pick: (edge: (typeof flows.edges)[number]) => bigint): string =>
      flows.edges.reduce((total, edge) => total + pick(edge), 0n).toString();
    const [row] = await query(`
      SELECT sum(connections)::text AS connections, sum(failed)::text AS failed,
        sum(bytes_to_passive)::text AS bytes, sum(open)::text AS open FROM edges`);
    assert.deepEqual(row, {
      connections: sum((edge) => edge.connections),
      failed: sum((edge) => edge.failed),
      bytes: sum((edge) => edge.bytesToPassive),
      open: sum((edge) => edge.open),
    });
  });
});

describe('the view edge_history', () => {
  it('has a row for each bucket and counts nothing twice', async () => {
    const rows = await query(`
      SELECT bucket, active_process, passive_process, opened::int FROM edge_history
      WHERE passive_process = 'db' AND active_process = 'app' ORDER BY bucket`);
    const names = { active_process: 'app', passive_process: 'db' };
    assert.deepEqual(rows, [
      { bucket: at(0), ...names, opened: 2 },
      { bucket: at(5), ...names, opened: 4 },
    ]);
    const [total] = await query('SELECT sum(opened)::int AS opened FROM edge_history');
    assert.deepEqual(total, { opened: 2 + 4 + 7 + 5 + 3 + 1 });
  });

  it('reads only the days that are asked for', async () => {
    await query("SELECT ensure_history_partition('2025-07-01')");
    const plan = await query<Record<string, string>>(
      "EXPLAIN SELECT * FROM edge_history WHERE bucket >= '2025-06-01' AND bucket < '2025-06-02'",
    );
    const text = JSON.stringify(plan);
    assert.match(text, /flow_history_20250601/);
    assert.doesNotMatch(text, /flow_history_20250701/);
  });
});

describe('the view coverage_gaps', () => {
  it('tells holes, gaps that agents reported, and what has not been reported yet', async () => {
    const rows = await query(
      "SELECT host, kind, from_time, to_time, note FROM coverage_gaps WHERE host IN ('h-idle', 'h-app') ORDER BY host, from_time",
    );
    const idle = { host: 'h-idle', note: '' };
    const app = { host: 'h-app' };
    assert.deepEqual(rows, [
      { ...app, kind: 'reported', from_time: at(-10), to_time: at(-5), note: 'helper restarted' },
      { ...app, kind: 'open', from_time: at(120), to_time: null, note: '' },
      { ...idle, kind: 'unwatched', from_time: at(-80), to_time: at(-70) },
      { ...idle, kind: 'open', from_time: at(-60), to_time: null },
    ]);
  });
});

describe('docs/sql.md', () => {
  const text = readFileSync(join(packageRoot(import.meta.url), 'docs', 'sql.md'), 'utf8');
  const samples = [...text.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, sql = '']) => sql);

  it('has samples', () => {
    assert.ok(samples.length >= 5);
  });

  for (const sql of samples) {
    it(`gives rows for: ${sql.split('\n')[0]}`, async () => {
      assert.ok((await query(sql)).length > 0);
    });
  }

  it('names every view for people', async () => {
    const views = await query<{ name: string }>(
      "SELECT viewname::text AS name FROM pg_views WHERE schemaname = 'public' AND viewname <> 'active_nodes'",
    );
    assert.ok(views.length >= 4);
    for (const { name } of views) assert.ok(text.includes(`\`${name}\``), name);
  });
});
