/** A CMDB that is away: nothing is lost while the agent runs, nor when it is stopped meanwhile. */
import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { embeddedLayout } from '../../src/cmdb/embedded/layout.ts';
import { runningPostmaster } from '../../src/cmdb/embedded/postmaster-pid.ts';
import type { EmbeddedServer } from '../../src/cmdb/embedded/server.ts';
import { withActors } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { edgesTo, type GraphJson, Ttracerd, ttctl, ttctlJson } from '../support/commands.ts';
import { freePort } from '../support/nginx.ts';
import { startTestEmbedded, temporaryDirectory, urlOf } from '../support/postgres.ts';
import { childrenOf, eventually } from '../support/processes.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';

/** Makes `count` short connections to a port of its own; gives the port. */
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

/** What was drained after a write follows with the next one. */
function hasAll(graph: GraphJson, expected: ReadonlyMap<number, number>): boolean {
  return [...expected].every(([port, count]) =>
    edgesTo(graph, port).some(({ connections, open }) => connections >= count && open === 0),
  );
}

describe('a CMDB that is away', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  let serverDir: string;
  let dataDir: string;
  let server: EmbeddedServer;
  let reach: string[];
  let listen: string;

  before(async () => {
    serverDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    server = await startTestEmbedded(serverDir);
    reach = ['--cmdb', urlOf(server.config)];
    listen = `127.0.0.1:${await freePort()}`;
    await server.stop();
  });
  after(() => cleanup.run());

  const startServer = async () => {
    server = cleanup.keep(await startTestEmbedded(serverDir), (it) => it.stop());
  };
  const start = () => {
    const argv = [...reach, '--data-dir', dataDir, '--listen', listen, '--flush-interval', '500ms'];
    return cleanup.keep(new Ttracerd(argv), (it) => it.kill());
  };
  const expectCounts = async (expected: ReadonlyMap<number, number>) => {
    const graph = await eventually(
      async () => {
        const answer = await ttctlJson<GraphJson>(['flows', ...reach]);
        return hasAll(answer, expected) && answer;
      },
      { timeoutMs: 15_000, what: 'all edges' },
    );
    for (const [port, count] of expected) {
      assert.deepEqual(
        edgesTo(graph, port).map(({ connections, open, bytesToPassive, bytesToActive }) => ({
          connections,
          open,
          bytesToPassive,
          bytesToActive,
        })),
        [{ connections: count, open: 0, bytesToPassive: 11 * count, bytesToActive: 7 * count }],
      );
    }
  };

  const counts = new Map<number, number>();
  let agent: Ttracerd;

  it('keeps the agent tracing, and is told as not ready', async () => {
    agent = start();
    await agent.logged('the CMDB is away: tracing goes on');
    await agent.logged('attached');
    const answer = await fetch(`http://${listen}/healthz`);
    assert.equal(answer.status, 503);
    assert.match(await answer.text(), /CMDB/);
    counts.set(await makeConnections(50), 50);
    assert.ok(!agent.log.some((line) => line.msg === 'ready'));
  });

  it('makes ttctl exit with 4 in under 6 s', async () => {
    const outcome = await ttctl(['flows', ...reach]);
    assert.equal(outcome.code, 4);
    assert.match(outcome.stderr, /^ttctl: [^\n]+\n$/);
    assert.ok(outcome.ms < 6_000);
  });

  it('gets all of it once it is there', async () => {
    await startServer();
    await agent.ready();
    await expectCounts(counts);
    assert.equal((await fetch(`http://${listen}/healthz`)).status, 200);
  });

  it('goes away and comes back, and nothing is missing', async () => {
    await server.stop();
    counts.set(await makeConnections(40), 40);
    await agent.logged('the CMDB is away: tracing goes on', 10_000, 2);
    await startServer();
    await agent.logged('the CMDB is back');
    await expectCounts(counts);
  });

  it('is away when the agent is stopped: the next one writes what is spooled', async () => {
    counts.set(await makeConnections(30), 30);
    await server.stop();
    counts.set(await makeConnections(20), 20);
    const outcome = await agent.stop();
    assert.equal(outcome.code, 0);
    assert.ok(outcome.ms < 5_000, `${outcome.ms} ms`);
    assert.equal((await readdir(join(dataDir, 'spool'))).length, 1);
    await startServer();
    agent = start();
    await agent.ready();
    await expectCounts(counts);
    assert.deepEqual(await readdir(join(dataDir, 'spool')), []);
  });

  it('is away for two agents in a row: the third writes it all', async () => {
    await server.stop();
    counts.set(await makeConnections(10), 10);
    assert.equal((await agent.stop()).code, 0);
    agent = start();
    await agent.logged('the CMDB is away: tracing goes on');
    await agent.logged('attached');
    counts.set(await makeConnections(5), 5);
    assert.equal((await agent.stop()).code, 0);
    await startServer();
    agent = start();
    await agent.ready();
    await expectCounts(counts);
    assert.equal((await agent.stop()).code, 0);
  });
});

describe('an embedded CMDB that is killed', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  after(() => cleanup.run());

  it('is started again by its agent, and nothing is missing', async () => {
    const dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    const argv = ['--data-dir', dataDir, '--flush-interval', '500ms'];
    const agent = cleanup.keep(new Ttracerd(argv), (it) => it.stop());
    await agent.ready();
    const { cluster } = embeddedLayout(dataDir, process.geteuid?.() === 0);
    for (let round = 1; round <= 3; round++) {
      const pid = runningPostmaster(cluster);
      assert.ok(pid);
      const before = await makeConnections(25);
      for (const victim of [pid, ...childrenOf(pid)]) process.kill(victim, 'SIGKILL');
      const after = await makeConnections(15);
      await agent.logged('the embedded CMDB is back', 20_000, round);
      await eventually(
        async () => {
          const { code, stdout } = await ttctl([
            'flows',
            '--data-dir',
            dataDir,
            '--format',
            'json',
          ]);
          if (code !== 0) return false;
          const graph = JSON.parse(stdout) as GraphJson;
          const counted = [before, after].map((port) =>
            edgesTo(graph, port).map(({ connections }) => connections),
          );
          assert.ok(counted.every((each) => each.every((count) => count <= 25)));
          return JSON.stringify(counted) === '[[25],[15]]';
        },
        { timeoutMs: 30_000, what: `25 and 15 connections in round ${round}` },
      );
    }
  });
});
