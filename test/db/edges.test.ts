import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTarget } from '../../src/query/target.ts';
import { deps, sentences, toWeb, web } from './asking.ts';
import { at, HOUR, WorldHost } from './query-world.ts';
import { useWorlds } from './worlds.ts';

const world = useWorlds();

describe('an edge seen from both ends', () => {
  it('is one edge with the active totals, and carries all the contract asks for', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11'])
      .process('wrk', { pgid: 5982 })
      .covered();
    const server = web();
    client.flow({
      ...toWeb,
      side: 'active',
      process: 'wrk',
      firstSeen: at(1),
      lastSeen: at(4),
      buckets: [{ opened: 5, openNow: 2, bytesToPassive: 10n, bytesToActive: 2n ** 60n }],
    });
    server.flow({
      ...toWeb,
      side: 'passive',
      process: 'nginx',
      foundBy: ['snapshot', 'destroy'],
      firstSeen: at(0),
      lastSeen: at(3),
      buckets: [{ opened: 4, openNow: 1 }],
    });
    const config = await world(client, server);
    const graph = await deps(config, '10.0.0.10:80');
    assert.ok(graph);
    assert.deepEqual(graph.edges, [
      {
        active: client.node('wrk'),
        passive: server.node('nginx'),
        proto: 'tcp',
        activeAddress: '10.0.0.11',
        passiveAddress: '10.0.0.10',
        passivePort: 80,
        connections: 5n,
        failed: 0n,
        open: 2n,
        bytesToPassive: 10n,
        bytesToActive: 2n ** 60n,
        firstSeen: at(0),
        lastSeen: at(4),
        seenBy: 'both',
        foundBy: ['stream', 'snapshot', 'destroy'],
        ambiguous: false,
      },
    ]);
    assert.deepEqual(graph.nodes, [
      {
        id: server.node('nginx'),
        hostId: server.hostId,
        host: 'web-1',
        process: 'nginx',
        exe: '/usr/bin/nginx',
        unit: 'nginx.service',
        container: null,
        uid: 33,
        pgid: 4656,
        addresses: ['10.0.0.10'],
        ports: [80],
        depth: 0,
      },
      {
        id: client.node('wrk'),
        hostId: client.hostId,
        host: 'client-1',
        process: 'wrk',
        exe: '/usr/bin/wrk',
        unit: null,
        container: null,
        uid: 33,
        pgid: 5982,
        addresses: ['10.0.0.11'],
        ports: [],
        depth: 1,
      },
    ]);
    assert.deepEqual(
      graph.coverage.map(({ host, from, to, mode, attach }) => [host, from, to, mode, attach]),
      [
        ['client-1', HOUR.since, HOUR.until, 'stream', 'fentry'],
        ['web-1', HOUR.since, HOUR.until, 'stream', 'fentry'],
      ],
    );
  });

  it('is found by every form of TARGET', async () => {
    const containerId = 'c0ffee'.padEnd(64, '0');
    const client = new WorldHost('client-1.example', ['10.0.0.11']).process('wrk', { containerId });
    const server = web();
    client.flow({ ...toWeb, side: 'active', process: 'wrk' });
    server.flow({ ...toWeb, side: 'passive', process: 'nginx' });
    const config = await world(client, server);
    const edge = ['wrk@client-1.example > nginx@web-1 10.0.0.10 80: 1 both stream'];
    const forms = ['10.0.0.10', '10.0.0.10:80', '::ffff:10.0.0.10', ':80', 'host:web-1'].concat(
      ['process:nginx', 'process:/usr/bin/nginx', 'unit:nginx.service', 'unit:nginx'],
      ['container:c0ffee', 'process:wrk', '10.0.0.11', 'host:client-1', `host:${client.hostId}`],
    );
    for (const form of forms) assert.deepEqual(sentences(await deps(config, form)), edge, form);
    for (const form of [':81', '10.0.0.9', 'process:apache', 'unit:', 'container:dead', 'host:x']) {
      if (form === 'unit:') assert.throws(() => parseTarget(form));
      else assert.equal(await deps(config, form), null, form);
    }
    assert.deepEqual(sentences(await deps(config, ':80', { direction: 'dependencies' })), []);
    assert.deepEqual(sentences(await deps(config, 'process:wrk', { direction: 'dependents' })), []);
  });
});

describe('an endpoint shared by several processes', () => {
  it('gives each active process its own totals', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl').process('wget');
    const server = web();
    client.flow({ ...toWeb, side: 'active', process: 'curl', buckets: [{ opened: 200 }] });
    client.flow({
      ...toWeb,
      side: 'active',
      process: 'wget',
      foundBy: ['snapshot'],
      buckets: [{ openAtStart: 3, openNow: 3 }],
    });
    server.flow({ ...toWeb, side: 'passive', process: 'nginx', buckets: [{ opened: 203 }] });
    assert.deepEqual(sentences(await deps(await world(client, server), ':80')), [
      'curl@client-1 > nginx@web-1 10.0.0.10 80: 200 both stream',
      'wget@client-1 > nginx@web-1 10.0.0.10 80: 3 open 3 both snapshot',
    ]);
  });

  it('gives each passive process its own totals, failures once', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl');
    const server = web().process('apache');
    client.flow({
      ...toWeb,
      side: 'active',
      process: 'curl',
      buckets: [{ opened: 10, failedRefused: 2 }],
    });
    server.flow({ ...toWeb, side: 'passive', process: 'nginx', buckets: [{ opened: 7 }] });
    server.flow({ ...toWeb, side: 'passive', process: 'apache', buckets: [{ opened: 3 }] });
    assert.deepEqual(sentences(await deps(await world(client, server), ':80')), [
      'curl@client-1 > apache@web-1 10.0.0.10 80: 3 both stream',
      'curl@client-1 > nginx@web-1 10.0.0.10 80: 7 failed 2 both stream',
    ]);
  });

  it('lists every pair, marked, when both ends are shared; the sum stays true', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl').process('wget');
    const server = web().process('apache');
    client.flow({ ...toWeb, side: 'active', process: 'curl', buckets: [{ opened: 6 }] });
    client.flow({ ...toWeb, side: 'active', process: 'wget', buckets: [{ opened: 4 }] });
    server.flow({ ...toWeb, side: 'passive', process: 'nginx', buckets: [{ opened: 7 }] });
    server.flow({ ...toWeb, side: 'passive', process: 'apache', buckets: [{ opened: 3 }] });
    assert.deepEqual(sentences(await deps(await world(client, server), ':80')), [
      'curl@client-1 > apache@web-1 10.0.0.10 80: 0 both stream ambiguous',
      'curl@client-1 > nginx@web-1 10.0.0.10 80: 6 both stream ambiguous',
      'wget@client-1 > apache@web-1 10.0.0.10 80: 0 both stream ambiguous',
      'wget@client-1 > nginx@web-1 10.0.0.10 80: 4 both stream ambiguous',
    ]);
  });

  it('keeps what could not be attributed apart from what could', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl');
    const server = web();
    client.flow({ ...toWeb, side: 'active', process: 'curl', buckets: [{ opened: 5 }] });
    client.flow({ ...toWeb, side: 'active', process: '', buckets: [{ opened: 2 }] });
    server.flow({ ...toWeb, side: 'passive', process: 'nginx', buckets: [{ opened: 7 }] });
    const graph = await deps(await world(client, server), ':80');
    assert.deepEqual(sentences(graph), [
      '?@client-1 > nginx@web-1 10.0.0.10 80: 2 both stream',
      'curl@client-1 > nginx@web-1 10.0.0.10 80: 5 both stream',
    ]);
    assert.ok(graph?.nodes.some((node) => node.id === `${client.hostId}:0@10.0.0.11`));
  });
});

describe('failed and idle edges', () => {
  it('counts failures apart, of every kind, and keeps them off shared endpoints', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl').process('nc');
    const server = web();
    const failed = { failedRefused: 1, failedTimedOut: 2, failedUnreachable: 4, failedOther: 8 };
    client.flow({ ...toWeb, side: 'active', process: 'curl', buckets: [failed] });
    client.flow({ ...toWeb, side: 'active', process: 'nc', buckets: [{ opened: 3 }] });
    client.flow({
      ...toWeb,
      passive: '192.0.2.1',
      side: 'active',
      process: 'curl',
      buckets: [failed],
    });
    client.flow({ ...toWeb, port: 81, side: 'active', process: 'curl', buckets: [failed] });
    server.flow({ ...toWeb, side: 'passive', process: 'nginx', buckets: [{ opened: 3 }] });
    const config = await world(client, server);
    assert.deepEqual(sentences(await deps(config, ':80')), [
      'curl@client-1 > ?@no agent 192.0.2.1 80: 0 failed 15 active stream',
      'curl@client-1 > nginx@web-1 10.0.0.10 80: 0 failed 15 active stream',
      'nc@client-1 > nginx@web-1 10.0.0.10 80: 3 both stream',
    ]);
    const closed = await deps(config, '10.0.0.10:81');
    assert.deepEqual(sentences(closed), [
      'curl@client-1 > ?@web-1 10.0.0.10 81: 0 failed 15 active stream',
    ]);
    assert.deepEqual(
      closed?.nodes.map((node) => [node.id, node.process, node.addresses, node.ports, node.depth]),
      [
        [`${server.hostId}:0@10.0.0.10`, null, ['10.0.0.10'], [81], 0],
        [client.node('curl'), 'curl', ['10.0.0.11'], [], 1],
      ],
    );
  });

  it('lists an edge that only stayed open', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('nc');
    const idle = { at: 0, openAtStart: 1, openMax: 1, openNow: 1 };
    client.flow({
      ...toWeb,
      side: 'active',
      process: 'nc',
      foundBy: ['snapshot'],
      buckets: [idle, { ...idle, at: 5 }, { ...idle, at: 10 }],
    });
    const config = await world(client, web());
    assert.deepEqual(sentences(await deps(config, 'process:nc')), [
      'nc@client-1 > nginx@web-1 10.0.0.10 80: 1 open 1 active snapshot',
    ]);
  });
});
