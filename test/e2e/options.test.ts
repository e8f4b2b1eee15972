/** What the agent's options change, seen from outside. */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { edgesTo, type GraphJson, Ttracerd, ttctl, ttctlJson } from '../support/commands.ts';
import { Namespace } from '../support/namespace.ts';
import { freePort } from '../support/nginx.ts';
import {
  startTestPostgres,
  type TestPostgres,
  temporaryDirectory,
  urlOf,
} from '../support/postgres.ts';
import { eventually, processesWith } from '../support/processes.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';

const FLUSH = ['--flush-interval', '500ms'];

describe('options of ttracerd', { skip: SKIP_UNLESS_ROOT }, () => {
  let postgres: TestPostgres;
  let cleanup: Cleanup;
  let dataDir: string;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(() => postgres.stop());
  beforeEach(async () => {
    cleanup = new Cleanup();
    dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
  });
  afterEach(() => cleanup.run());

  const start = (...argv: string[]) =>
    cleanup.keep(new Ttracerd(['--data-dir', dataDir, ...argv]), (it) => it.stop());
  const actor = (wrapper: readonly string[] = []) =>
    cleanup.keep(new Actor({ wrapper }), (it) => it.end());
  const database = async () => ['--cmdb', urlOf(await postgres.createDatabase())];

  /** A server with some connections that stay; gives its port and what opens more. */
  const openSome = async (count: number, wrapper: readonly string[] = []) => {
    const [server, client] = [actor(wrapper), actor(wrapper)];
    const { fd, port } = await server.listen('127.0.0.1');
    const open = async () => {
      const mine = await client.one(`connect 127.0.0.1 ${port}`);
      const theirs = await server.one(`accept ${fd}`);
      await client.do(`send ${mine} 30`);
      await server.do(`receive ${theirs} 30`);
    };
    for (let i = 0; i < count; i++) await open();
    return { port, open, server, client };
  };

  it('--once takes one snapshot, writes it and ends with 0', async () => {
    const reach = await database();
    const { port } = await openSome(3);
    const outcome = await start('--once', ...reach).ended();
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.ok(outcome.ms < 5_000, `${outcome.ms} ms`);
    const edges = edgesTo(await ttctlJson<GraphJson>(['deps', `:${port}`, ...reach]), port);
    assert.deepEqual(
      edges.map(({ activeProcess, passiveProcess, connections, open, seenBy, foundBy }) => ({
        activeProcess,
        passiveProcess,
        connections,
        open,
        seenBy,
        foundBy,
      })),
      [
        {
          activeProcess: 'tcp-actor',
          passiveProcess: 'tcp-actor',
          connections: 3,
          open: 3,
          seenBy: 'both',
          foundBy: ['snapshot'],
        },
      ],
    );
  });

  it('--once on an embedded CMDB leaves no server behind, and counts nothing twice', async () => {
    const { port } = await openSome(2);
    for (let i = 0; i < 2; i++) assert.equal((await start('--once').ended()).code, 0);
    assert.deepEqual(processesWith(dataDir), []);
    const agent = start(...FLUSH);
    await agent.ready();
    const graph = await ttctlJson<GraphJson>(['deps', `:${port}`, '--data-dir', dataDir]);
    assert.deepEqual(
      edgesTo(graph, port).map((edge) => edge.connections),
      [2],
    );
  });

  it('--output jsonl prints flows when they are first seen, and when they changed', async () => {
    const agent = start('--cmdb', 'none', '--output', 'jsonl', ...FLUSH);
    await agent.ready();
    const { port } = await openSome(3);
    const lines = () =>
      agent.stdout
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter((line) => line['passivePort'] === port);
    const latest = (direction: string) =>
      lines().findLast((line) => line['direction'] === direction);
    await eventually(
      () => latest('active')?.['bytesToPassive'] === 90 && latest('passive')?.['connections'] === 3,
      { what: 'both ends with all counts' },
    );
    for (const line of lines()) {
      const { direction } = line;
      assert.ok(direction === 'active' || direction === 'passive');
      assert.equal(line['event'], 'flow');
      assert.equal(line['process'], 'tcp-actor');
      assert.equal(line['proto'], 'tcp');
      assert.equal(line['activeAddress'], '127.0.0.1');
      assert.equal(line['passiveAddress'], '127.0.0.1');
      assert.equal(line['seenBy'], direction);
      assert.equal(typeof line['pid'], 'number');
      for (const name of ['connections', 'failed', 'open', 'bytesToPassive', 'bytesToActive']) {
        assert.equal(typeof line[name], 'number', name);
      }
      for (const name of ['firstSeen', 'lastSeen']) {
        assert.match(String(line[name]), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
      }
      assert.match(String(line[direction]), /^[0-9a-f-]{36}:-?\d+$/);
      assert.equal(line[direction === 'active' ? 'passive' : 'active'], null);
      assert.ok(Array.isArray(line['foundBy']));
      assert.ok('peerPort' in line);
    }
    const first = lines().find((line) => line['direction'] === 'active');
    assert.equal(first?.['connections'], 0); // announced at connect, before the handshake
    assert.equal(first?.['peerPort'], port);
  });

  it('--output jsonl ends with 0 when its reader goes away', async () => {
    const agent = start('--cmdb', 'none', '--output', 'jsonl', ...FLUSH);
    await agent.ready();
    agent.child.stdout?.destroy();
    const { open } = await openSome(1);
    await eventually(async () => {
      await open();
      return !agent.isRunning;
    });
    assert.equal((await agent.ended()).code, 0);
  });

  it('--cmdb none keeps nothing but works', async () => {
    const agent = start('--cmdb', 'none');
    assert.equal((await agent.ready())['mode'], 'stream');
    assert.ok(!processesWith(dataDir).some((pid) => pid !== agent.pid));
    assert.equal((await agent.stop()).code, 0);
    const outcome = await ttctl(['flows', '--data-dir', dataDir]);
    assert.equal(outcome.code, 5, outcome.stderr); // there is no CMDB
  });

  it('--config is read again at SIGHUP; a bad file changes nothing', async () => {
    const file = join(dataDir, 'config.json');
    const write = (options: object) => writeFile(file, JSON.stringify(options));
    await write({ cmdb: 'none', output: 'jsonl', 'flush-interval': '1h' });
    const agent = start('--config', file);
    await agent.ready();
    const { port } = await openSome(2);
    const total = () =>
      agent.stdout.split('\n').filter((line) => line.includes(`"passivePort":${port},`)).length;
    await eventually(() => total() === 1 || total() === 2, { what: 'the announcement' });
    assert.ok(!agent.stdout.includes('"bytesToPassive":60'));

    await write({ cmdb: 'none', output: 'jsonl', 'flush-interval': 'often' });
    process.kill(agent.pid, 'SIGHUP');
    const refused = await agent.logged('configuration not changed');
    assert.match(String(refused['reason']), /'often'/);

    await write({ cmdb: 'none', output: 'none', 'flush-interval': '200ms', 'log-level': 'debug' });
    process.kill(agent.pid, 'SIGHUP');
    await agent.logged('configuration read again');
    const fixed = await agent.logged('these change only at a restart');
    assert.deepEqual(fixed['options'], ['output']);
    await eventually(() => agent.stdout.includes('"bytesToPassive":60'), {
      what: 'a flush at the new interval',
    });
  });

  it('argv goes before environment before file', async () => {
    const file = join(dataDir, 'config.json');
    await writeFile(file, JSON.stringify({ mode: 'auto', cmdb: 'none', 'log-level': 'silent' }));
    const env = { TTRACER_CONFIG: file, TTRACER_MODE: 'stream', TTRACER_LOG_LEVEL: 'info' };
    const argv = ['--data-dir', dataDir, '--mode', 'poll'];
    const agent = cleanup.keep(new Ttracerd(argv, { env }), (it) => it.stop());
    assert.equal((await agent.ready())['mode'], 'poll');
  });

  it('--listen serves /metrics and /healthz', async () => {
    const listen = `127.0.0.1:${await freePort()}`;
    const agent = start('--cmdb', 'none', '--listen', listen, ...FLUSH);
    await agent.ready();
    const health = await fetch(`http://${listen}/healthz`);
    assert.equal(health.status, 200);
    const metrics = await fetch(`http://${listen}/metrics`);
    assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    const lines = (await metrics.text()).trimEnd().split('\n');
    for (const line of lines) {
      assert.match(line, /^(?:# (?:HELP|TYPE) ttracer_\w+ .+|ttracer_\w+(?:\{.*\})? [\d.e+-]+)$/);
    }
    assert.ok(lines.includes('ttracer_helper_restarts_total 0'));
    assert.equal((await fetch(`http://${listen}/other`)).status, 404);
  });

  for (const mode of ['stream', 'poll']) {
    it(`--netns, ${mode}: 'all' sees both ends in another namespace, 'own' none`, async () => {
      const reach = await database();
      const namespace = cleanup.keep(await Namespace.create(), (it) => it.delete());
      const argv = ['--mode', mode, ...reach, ...FLUSH, '--poll-interval', '200ms'];
      const home = await openSome(1);
      const there = await openSome(1, namespace.wrapper); // found
      const own = start(...argv, '--netns', 'own');
      await own.ready();
      await there.open();
      await home.open();
      const edgeTo = async (port: number) =>
        edgesTo(await ttctlJson<GraphJson>(['flows', ...reach]), port);
      const waitFor = (port: number, connections: number) =>
        eventually(async () => (await edgeTo(port))[0]?.connections === connections, {
          what: `${connections} connections to ${port}`,
        });
      await waitFor(home.port, 2);
      assert.deepEqual(await edgeTo(there.port), []);
      await own.stop();

      const all = start(...argv, '--netns', 'all');
      await all.ready();
      await there.open();
      await waitFor(there.port, 3);
      const [edge, ...others] = await edgeTo(there.port);
      assert.deepEqual(others, []);
      assert.equal(edge?.seenBy, 'both');
      assert.equal(edge?.activeProcess, 'tcp-actor');
      assert.equal(edge?.passiveProcess, 'tcp-actor');
      assert.equal(edge?.open, 3);
    });

    it(`${mode}: names processes in pid, mount and network namespaces of their own`, async () => {
      const reach = await database();
      const agent = start('--mode', mode, ...reach, ...FLUSH, '--poll-interval', '200ms');
      await agent.ready();
      const inside = ['sh', '-c', 'ip link set lo up && exec "$0"'];
      const apart = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--net'];
      const [server, client] = [actor([...apart, ...inside]), actor()];
      const { fd, port } = await server.listen('127.0.0.1');
      const mine = await server.one(`begin 127.0.0.1 ${port}`);
      await server.do(`accept ${fd}`);
      await server.do(`finish ${mine}`);
      // The same endpoint in another namespace is another endpoint: here nobody listens.
      const lost = await client.one(`begin 127.0.0.1 ${port}`);
      assert.equal(await client.fail(`finish ${lost}`), 'ECONNREFUSED');
      await client.do(`close ${lost}`);
      const edges = await eventually(
        async () => {
          const found = edgesTo(await ttctlJson<GraphJson>(['flows', ...reach]), port);
          return found.length === 2 && found;
        },
        { what: 'both edges' },
      );
      const [up] = edges.filter((edge) => edge.connections > 0);
      const [refused] = edges.filter((edge) => edge.connections === 0);
      assert.equal(up?.activeProcess, 'tcp-actor');
      assert.equal(up?.passiveProcess, 'tcp-actor');
      assert.equal(up?.seenBy, 'both');
      assert.equal(up?.connections, 1);
      assert.equal(up?.failed, 0);
      assert.equal(refused?.failed, 1);
      assert.equal(refused?.seenBy, 'active');
    });
  }
});
