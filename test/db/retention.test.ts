import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { Retention } from '../../src/agent/retention.ts';
import { pruneHost } from '../../src/cmdb/prune-host.ts';
import { setUpRoles } from '../../src/cmdb/roles.ts';
import { CmdbWriter } from '../../src/cmdb/writer.ts';
import { ExitCode } from '../../src/common/exit-codes.ts';
import { ttctl } from '../support/commands.ts';
import {
  silentLog,
  startTestPostgres,
  type TestPostgres,
  urlOf,
  withClient,
} from '../support/postgres.ts';
import { eventually } from '../support/processes.ts';
import { Chain } from './chain.ts';
import { at, WorldHost, writeWorld } from './query-world.ts';

const DAY = 24 * 60;
const NAMES = { writer: 'retention_writer', reader: 'retention_reader' };

let postgres: TestPostgres;
before(async () => {
  postgres = await startTestPostgres();
});
after(() => postgres?.stop());

const on = (day: number) => ({
  firstSeen: at(day * DAY),
  lastSeen: at(day * DAY + 1),
  buckets: [{ at: day * DAY, opened: 1 }],
});

/** Two hosts that spoke to each other on day 0, and again, on another port, on day 10. */
async function makeWorld(): Promise<{ config: pg.ClientConfig; chain: Chain }> {
  const config = await postgres.createDatabase();
  const chain = new Chain(['app', 'db'], false)
    .connect('app', 'db', on(0))
    .connect('app', 'db', { ...on(10), port: 443 });
  for (const host of chain.hosts.values()) {
    host.covered({ from: at(0), to: at(1) }).covered({ from: at(10 * DAY), to: at(10 * DAY + 1) });
    host.process('gone', { containerId: 'c' });
  }
  await writeWorld(config, [...chain.hosts.values()]);
  // Another agent than that of day 0.
  const later = 'UPDATE coverage SET epoch = $1 WHERE from_time > $2';
  await postgres.query(config, later, [at(10 * DAY).getTime(), at(DAY)]);
  await withClient(config, (client) => setUpRoles(client, NAMES));
  return { config, chain };
}

function asWriter(config: pg.ClientConfig): pg.ClientConfig {
  return { ...config, options: `-c role=${NAMES.writer}` };
}

const TABLES =
  'flows flow_history passive_nodes processes containers host_addresses coverage hosts'.split(' ');

/** Rows of each table of one host; tables without any are left out. */
async function rowsOf(config: pg.ClientConfig, hostId: string): Promise<Record<string, number>> {
  const counts = TABLES.map(
    (table) => `SELECT '${table}' AS name, count(*)::int AS n FROM ${table} WHERE host_id = $1`,
  );
  const rows = await postgres.query<{ name: string; n: number }>(
    config,
    counts.join(' UNION ALL '),
    [hostId],
  );
  return Object.fromEntries(rows.filter(({ n }) => n > 0).map(({ name, n }) => [name, n]));
}

async function partitions(config: pg.ClientConfig): Promise<number> {
  const sql =
    "SELECT count(*)::int AS n FROM pg_inherits WHERE inhparent = 'flow_history'::regclass";
  return (await postgres.query<{ n: number }>(config, sql))[0]?.n ?? -1;
}

/** What is left of a host after day 5: its batch was taken on day 0, but for what was used later. */
const LATER = { flows: 1, flow_history: 1, processes: 1, coverage: 1, hosts: 1 };

describe('pruning one host', () => {
  it('removes what that host wrote before, and nothing of others, as the role for agents', async () => {
    const { config, chain } = await makeWorld();
    const [app, db] = [chain.host('app').hostId, chain.host('db').hostId];
    const [beforeApp, beforeDb] = [await rowsOf(config, app), await rowsOf(config, db)];
    assert.deepEqual(beforeApp, beforeDb);
    assert.equal(beforeApp['flow_history'], 2);
    const days = new Set<string>();
    const prune = () =>
      withClient(asWriter(config), (client) => pruneHost(client, app, at(5 * DAY), days));
    assert.ok((await prune()) > 0);
    assert.deepEqual(await rowsOf(config, app), LATER);
    assert.deepEqual(await rowsOf(config, db), beforeDb);
    assert.equal(await partitions(config), 2);
    assert.deepEqual([...days], ['2025-06-01']);
    assert.equal(await prune(), 0);
  });

  it('keeps the day that the limit cuts, and what a running agent takes to be there', async () => {
    const { config, chain } = await makeWorld();
    const app = chain.host('app').hostId;
    await postgres.query(config, 'UPDATE coverage SET epoch = 1, to_time = $1', [at(20 * DAY)]);
    const prune = (limit: Date) =>
      withClient(asWriter(config), (client) => pruneHost(client, app, limit, new Set()));
    await prune(at(0));
    assert.equal((await rowsOf(config, app))['flow_history'], 2);
    await prune(at(11 * DAY));
    const { flow_history: history, processes, containers } = await rowsOf(config, app);
    assert.deepEqual([history, processes, containers], [undefined, 3, 1]);
  });

  it('is refused by the server for what is younger than a day', async () => {
    const { config, chain } = await makeWorld();
    const app = chain.host('app').hostId;
    const young = [
      ['SELECT prune_host($1, now())', [app]],
      ["SELECT prune_host($1, now() - interval '22 hours')", [app]],
      ["SELECT prune_host_history($1, (now() - interval '12 hours')::date)", [app]],
    ] as const;
    for (const [sql, values] of young) {
      await assert.rejects(
        withClient(asWriter(config), (client) => client.query(sql, [...values])),
        /too young to be removed/,
      );
    }
  });

  it('is what an agent with --retention does', async () => {
    const { config, chain } = await makeWorld();
    const app = chain.host('app').hostId;
    const retention = new Retention({
      config: asWriter(config),
      hostId: app,
      retentionMs: 5 * DAY * 60_000,
      log: silentLog,
      firstInMs: 0,
      now: () => at(10 * DAY).getTime(),
    });
    retention.start();
    try {
      await eventually(async () => (await rowsOf(config, app))['flow_history'] === 1);
      await eventually(async () => (await rowsOf(config, app))['coverage'] === 1);
    } finally {
      retention.stop();
    }
    assert.deepEqual(await rowsOf(config, app), LATER);
  });
});

describe('ttctl prune --host', () => {
  const prune = (config: pg.ClientConfig, ...argv: string[]) =>
    ttctl(['prune', '--cmdb', urlOf(config), ...argv]);

  it('removes a host with all it wrote, and nothing of others', async () => {
    const { config, chain } = await makeWorld();
    const [app, db] = [chain.host('app').hostId, chain.host('db').hostId];
    const [beforeApp, beforeDb] = [await rowsOf(config, app), await rowsOf(config, db)];
    const total = Object.values(beforeApp).reduce((sum, n) => sum + n, 0);
    const { code, stdout, stderr } = await prune(config, '--host', 'h-app');
    assert.deepEqual([code, stderr], [ExitCode.ok, '']);
    assert.match(stdout, new RegExp(`^removed host h-app \\(${app}\\): (\\d+) rows\n$`));
    assert.ok(Number(/: (\d+) rows/.exec(stdout)?.[1]) >= total - 4, 'less what cascades');
    assert.deepEqual(await rowsOf(config, app), {});
    assert.deepEqual(await rowsOf(config, db), beforeDb);
    const again = await prune(config, '--host', 'h-app');
    assert.equal(again.code, ExitCode.no);
    assert.match(again.stderr, /^ttctl: no host "h-app"; ttctl hosts lists them\n$/);
  });

  it('refuses one that reported in the last minutes, unless forced', async () => {
    const { config, chain } = await makeWorld();
    const app = chain.host('app').hostId;
    await postgres.query(config, 'UPDATE hosts SET last_seen = now()');
    const before = await rowsOf(config, app);
    const refused = await prune(config, '--host', app.toUpperCase());
    assert.equal(refused.code, ExitCode.no);
    assert.match(refused.stderr, /^ttctl: host .* reported at .* stop ttracerd .* --force\n$/);
    assert.deepEqual(await rowsOf(config, app), before);
    assert.equal((await prune(config, '--host', app, '--force')).code, ExitCode.ok);
    assert.deepEqual(await rowsOf(config, app), {});
  });

  it('asks which one where several have the name', async () => {
    const config = await postgres.createDatabase();
    const twins = [new WorldHost('twin', ['10.0.0.1']), new WorldHost('twin', ['10.0.0.2'])];
    await writeWorld(config, twins);
    const { code, stderr } = await prune(config, '--host', 'twin');
    assert.equal(code, ExitCode.usage);
    for (const { hostId } of twins) {
      assert.ok(stderr.includes(hostId));
      assert.equal((await prune(config, '--host', hostId)).code, ExitCode.ok);
    }
  });

  it('refuses what makes no sense', async () => {
    const config = await postgres.createDatabase();
    for (const argv of [['--host', 'x', '--older-than', '3d'], ['--force'], []]) {
      assert.equal((await prune(config, ...argv)).code, ExitCode.usage);
    }
  });

  it('has an agent that goes on hand over everything again', async () => {
    const { config, chain } = await makeWorld();
    const writer = new CmdbWriter({ config: asWriter(config), log: silentLog });
    try {
      const batch = { ...chain.host('app').batch(1), at: at(20) };
      assert.equal((await writer.write(batch)).hostIsNew, false);
      assert.equal((await prune(config, '--host', 'h-app', '--force')).code, ExitCode.ok);
      assert.equal((await writer.write(batch)).hostIsNew, true);
    } finally {
      await writer.close();
    }
  });
});
