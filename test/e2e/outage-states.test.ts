/** The ways in which a CMDB can be away: each is told once, shown, survived, and mended by itself. */
import assert from 'node:assert/strict';
import { chown, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { embeddedLayout } from '../../src/cmdb/embedded/layout.ts';
import { runningPostmaster } from '../../src/cmdb/embedded/postmaster-pid.ts';
import type { EmbeddedServer } from '../../src/cmdb/embedded/server.ts';
import { withActors } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { edgesTo, type GraphJson, Ttracerd, ttctl, ttctlJson } from '../support/commands.ts';
import { freePort } from '../support/nginx.ts';
import { startTestEmbedded, temporaryDirectory, urlOf, withClient } from '../support/postgres.ts';
import { childrenOf, eventually, processStat } from '../support/processes.ts';
import { runOk, SKIP_UNLESS_ROOT } from '../support/run.ts';

const AWAY = 'the CMDB is away: tracing goes on';
const DATABASE = 'states';
const EACH = 20;
/** The longest of the writer's limits, and the time between attempts. */
const HANG_MS = 60_000;

describe('a CMDB that takes nothing', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  let serverDir: string;
  let dataDir: string;
  let server: EmbeddedServer;
  let config: pg.ClientConfig;
  let reach: string[];
  let listen: string;
  let agent: Ttracerd;
  const counts = new Map<number, number>();

  const admin = (...statements: string[]) =>
    withClient(server.config, async (client) => {
      for (const sql of statements) await client.query(sql);
    });
  /** Ends the agent's session, so that it has to connect anew. */
  const cut = () =>
    admin(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${DATABASE}'`);
  const connections = async () => {
    const port = await makeConnections(EACH);
    counts.set(port, EACH);
  };
  const outages = () => agent.log.filter((line) => line.msg === AWAY);
  const metrics = async () => (await fetchIn(`http://${listen}/metrics`)).text;
  const fetchIn = async (url: string) => {
    const answer = await fetch(url);
    return { status: answer.status, text: await answer.text() };
  };
  /** Waits until the agent tells this kind of outage, and sees that it goes on. */
  const away = async (kind: string, timeoutMs = 20_000) => {
    await eventually(() => outages().some((line) => line['kind'] === kind), {
      timeoutMs,
      what: `outage '${kind}'\n${agent.stderr}`,
    });
    await connections();
    const escaped = kind.replaceAll('-', '\\-');
    await eventually(
      async () =>
        new RegExp(`^ttracer_cmdb_up\\{reason="${escaped}"\\} 0$`, 'm').test(await metrics()),
      { timeoutMs: HANG_MS, what: `'${kind}' in the metrics` },
    );
  };
  /** Waits until all that was traced is there. */
  const back = async (kind: string) => {
    await agent.logged('the CMDB is back', HANG_MS, told + 1);
    told += 1;
    const graph = await eventually(
      async () => {
        const answer = await ttctlJson<GraphJson>(['flows', ...reach]);
        const isThere = [...counts].every(([port, count]) =>
          edgesTo(answer, port).some((edge) => edge.connections >= count && edge.open === 0),
        );
        return isThere && answer;
      },
      { timeoutMs: HANG_MS, what: 'all edges' },
    );
    for (const [port, count] of counts) {
      assert.deepEqual(
        edgesTo(graph, port).map((edge) => [edge.connections, edge.open, edge.bytesToPassive]),
        [[count, 0, 11 * count]],
      );
    }
    assert.equal(outages().filter((line) => line['kind'] === kind).length, 1, agent.stderr);
    assert.match(await metrics(), /^ttracer_cmdb_up\{reason="none"\} 1$/m);
  };
  let told = 0;

  before(async () => {
    serverDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    server = cleanup.keep(await startTestEmbedded(serverDir), (it) => it.stop());
    await admin(`CREATE DATABASE ${DATABASE}`);
    config = { ...server.config, database: DATABASE };
    reach = ['--cmdb', urlOf(config)];
    listen = `127.0.0.1:${await freePort()}`;
    const argv = ['--data-dir', dataDir, '--listen', listen, '--flush-interval', '500ms'];
    agent = cleanup.keep(new Ttracerd([...reach, ...argv]), (it) => it.kill());
    await agent.ready();
  });
  after(() => cleanup.run());

  it('is read-only, as a standby is', async () => {
    await admin(`ALTER DATABASE ${DATABASE} SET default_transaction_read_only = on`);
    await cut();
    await away('read-only');
    await admin(`ALTER DATABASE ${DATABASE} RESET default_transaction_read_only`);
    await cut();
    await back('read-only');
  });

  it('has no connection left', async () => {
    const taken: pg.Client[] = [];
    const takeAll = async () => {
      for (;;) {
        const client = new pg.Client(server.config);
        client.on('error', () => undefined);
        try {
          await client.connect();
        } catch {
          return;
        }
        taken.push(client);
      }
    };
    await cut();
    await takeAll();
    try {
      if (!outages().some((line) => line['kind'] === 'too-many-connections')) {
        // The agent was back before all were taken.
        await taken[0]?.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${DATABASE}'`,
        );
        await takeAll();
      }
      await away('too-many-connections');
      const { code, stderr } = await ttctl(['flows', ...reach]);
      assert.equal(code, 4);
      assert.match(stderr, /^ttctl: [^\n]+\n$/);
    } finally {
      await Promise.all(taken.map((client) => client.end()));
    }
    await back('too-many-connections');
  });

  it('was dropped, and is made anew: all that the agent knows is handed over', async () => {
    await admin(`DROP DATABASE ${DATABASE} WITH (FORCE)`);
    await away('no-database');
    const { code, stderr } = await ttctl(['flows', ...reach]);
    assert.equal(code, 4);
    assert.match(stderr, /^ttctl: [^\n]+createdb[^\n]*\n$/);
    await admin(`CREATE DATABASE ${DATABASE}`);
    await back('no-database');
  });

  it('has a full disk', async () => {
    const disk = join(serverDir, 'small-disk');
    await mkdir(disk);
    await runOk('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0755', 'none', disk]);
    cleanup.keep(disk, () => runOk('umount', ['-l', disk]));
    const { cluster } = embeddedLayout(serverDir, process.geteuid?.() === 0);
    const { uid, gid } = await stat(cluster);
    const space = join(disk, 'space');
    await mkdir(space);
    await chown(space, uid, gid);
    await admin(`CREATE TABLESPACE small LOCATION '${space}'`);
    // Temporary tables go there, which every flush fills.
    await withClient({ ...server.config, database: DATABASE }, (client) =>
      client
        .query(`CREATE TABLE filler (x text) TABLESPACE small`)
        .then(() => client.query(FILL).catch(() => undefined)),
    );
    await admin(`ALTER DATABASE ${DATABASE} SET temp_tablespaces = 'small'`);
    await cut();
    await away('disk-full');
    await withClient(config, (client) => client.query('DROP TABLE filler'));
    await back('disk-full');
  });

  it('hangs: the attempt ends, tracing does not, and ttctl says so in time', async () => {
    const { cluster } = embeddedLayout(serverDir, process.geteuid?.() === 0);
    const postmaster = runningPostmaster(cluster);
    assert.ok(postmaster);
    const all = [postmaster, ...childrenOf(postmaster)];
    for (const pid of all) process.kill(pid, 'SIGSTOP');
    try {
      await eventually(() => all.every((pid) => processStat(pid)[0] === 'T'));
      const asked = await ttctl(['flows', ...reach]);
      assert.equal(asked.code, 4);
      assert.match(asked.stderr, /^ttctl: [^\n]+no answer[^\n]+\n$/);
      assert.ok(asked.ms < 6_000, `${asked.ms} ms`);
      const startedMs = performance.now();
      await away('no-answer', HANG_MS);
      assert.ok(performance.now() - startedMs < HANG_MS);
      const health = await fetchIn(`http://${listen}/healthz`);
      assert.equal(health.status, 503);
      assert.match(health.text, /no-answer/);
    } finally {
      for (const pid of all) process.kill(pid, 'SIGCONT');
    }
    await back('no-answer');
  });

  it('does not know the user: the agent waits, ttctl exits with 4', async () => {
    const stranger = urlOf({ ...config, user: 'stranger' });
    const argv = ['--cmdb', stranger, '--data-dir', join(dataDir, 'other')];
    const other = cleanup.keep(new Ttracerd(argv), (it) => it.kill());
    const line = await other.logged(AWAY);
    assert.equal(line['kind'], 'login-refused');
    const { code, stderr } = await ttctl(['flows', '--cmdb', stranger]);
    assert.equal(code, 4);
    assert.match(stderr, /^ttctl: [^\n]+\n$/);
    assert.equal((await other.stop()).code, 0);
  });

  it('never made the agent complain or fail', async () => {
    const complaints = agent.log.filter((line) => Number(line['level']) >= 50);
    assert.deepEqual(complaints, []);
    assert.equal((await agent.stop()).code, 0);
  });
});

/** More than fits. */
const FILL = `INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 100000)`;

/** Makes short connections to a port of its own; gives the port. */
function makeConnections(count: number): Promise<number> {
  return withActors(2, async (server, client) => {
    assert.ok(server && client);
    const { fd, port } = await server.listen('127.0.0.1');
    await Promise.all([
      server.do(`serve ${fd} ${count} 7`),
      client.do(`churn 127.0.0.1 ${port} ${count} 11`),
    ]);
    return port;
  });
}
