import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deps, sentences, toWeb, web } from './asking.ts';
import { WorldHost } from './query-world.ts';
import { useWorlds } from './worlds.ts';

const world = useWorlds();

describe('ends that nobody saw', () => {
  it('names the only listener, and lets it be asked for', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl');
    client.flow({ ...toWeb, side: 'active', process: 'curl' });
    const config = await world(client, web());
    const edge = ['curl@client-1 > nginx@web-1 10.0.0.10 80: 1 active stream'];
    for (const target of ['process:nginx', ':80', 'host:web-1', 'process:curl']) {
      assert.deepEqual(sentences(await deps(config, target)), edge, target);
    }
  });

  it('prefers the more specific socket, and does not guess between two', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl');
    client.flow({ ...toWeb, side: 'active', process: 'curl' });
    client.flow({ ...toWeb, port: 81, side: 'active', process: 'curl' });
    const server = web()
      .process('haproxy')
      .listen('haproxy', '10.0.0.10', 80)
      .listen('haproxy', '::', 81)
      .listen('nginx', '::', 81);
    const graph = await deps(await world(client, server), 'process:curl');
    assert.deepEqual(sentences(graph), [
      'curl@client-1 > ?@web-1 10.0.0.10 81: 1 active stream',
      'curl@client-1 > haproxy@web-1 10.0.0.10 80: 1 active stream',
    ]);
  });

  it('names no host for an address that two hosts own, and none without an agent', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl');
    client.flow({ ...toWeb, side: 'active', process: 'curl' });
    client.flow({ ...toWeb, passive: '2001:db8::9', side: 'active', process: 'curl' });
    const graph = await deps(
      await world(client, web(), new WorldHost('web-2', ['10.0.0.10'])),
      'process:curl',
    );
    assert.deepEqual(sentences(graph), [
      'curl@client-1 > ?@no agent 10.0.0.10 80: 1 active stream',
      'curl@client-1 > ?@no agent 2001:db8::9 80: 1 active stream',
    ]);
    assert.deepEqual(
      graph?.nodes.map(({ id, hostId }) => [id, hostId]).filter(([, hostId]) => hostId === null),
      [
        ['ip:10.0.0.10', null],
        ['ip:2001:db8::9', null],
      ],
    );
  });

  it('names the host of an active end, but no process', async () => {
    const server = web().flow({ ...toWeb, side: 'passive', process: 'nginx' });
    const stranger = { ...toWeb, active: '198.51.100.7' };
    server.flow({ ...stranger, side: 'passive', process: 'nginx', buckets: [{ opened: 2 }] });
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl');
    const config = await world(client, server);
    const edges = [
      '?@client-1 > nginx@web-1 10.0.0.10 80: 1 passive stream',
      '?@no agent > nginx@web-1 10.0.0.10 80: 2 passive stream',
    ];
    assert.deepEqual(sentences(await deps(config, ':80')), edges);
    assert.deepEqual(sentences(await deps(config, '198.51.100.7')), edges.slice(1));
    assert.deepEqual(sentences(await deps(config, 'host:client-1')), edges.slice(0, 1));
  });
});

describe('host-local addresses', () => {
  const loop = { active: '127.0.0.1', passive: '127.0.0.1', port: 9000, scope: 'local' } as const;

  it('stay on their host, and in their namespace', async () => {
    const hosts = ['web-1', 'web-2'].map((name, index) =>
      new WorldHost(name, [`10.0.0.${index + 1}`])
        .process('nginx')
        .process('php-fpm')
        .process('other')
        .listen('php-fpm', '127.0.0.1', 9000)
        .listen('other', '127.0.0.1', 9000, 'net:7')
        .flow({ ...loop, side: 'active', process: 'nginx', buckets: [{ opened: index + 1 }] })
        .flow({ ...loop, scope: 'local/net:7', side: 'active', process: 'nginx' }),
    );
    const config = await world(...hosts);
    const edges = [
      'nginx@web-1 > other@web-1 127.0.0.1 9000: 1 active stream',
      'nginx@web-1 > php-fpm@web-1 127.0.0.1 9000: 1 active stream',
      'nginx@web-2 > other@web-2 127.0.0.1 9000: 1 active stream',
      'nginx@web-2 > php-fpm@web-2 127.0.0.1 9000: 2 active stream',
    ];
    assert.deepEqual(sentences(await deps(config, '127.0.0.1:9000')), edges);
    assert.deepEqual(sentences(await deps(config, 'host:web-2')), edges.slice(2));
    assert.deepEqual(sentences(await deps(config, 'process:php-fpm')), [edges[1], edges[3]]);
    assert.deepEqual(sentences(await deps(config, ':9000')), edges);
  });

  it('tell unattributed ends of two hosts and namespaces apart', async () => {
    const hosts = ['web-1', 'web-2'].map((name) =>
      new WorldHost(name, [])
        .process('curl')
        .flow({ ...loop, side: 'active', process: 'curl', buckets: [{ failedRefused: 1 }] })
        .flow({
          ...loop,
          scope: 'local/net:7',
          side: 'active',
          process: 'curl',
          buckets: [{ failedRefused: 2 }],
        }),
    );
    const config = await world(...hosts);
    const graph = await deps(config, ':9000');
    const ids = hosts.flatMap(({ hostId }) => [
      `${hostId}:0@127.0.0.1`,
      `${hostId}:0@127.0.0.1%net:7`,
    ]);
    const seeds = graph?.nodes.filter((node) => node.depth === 0).map((node) => node.id);
    assert.deepEqual(seeds?.sort(), ids.sort());
    assert.equal(sentences(graph).length, 4);
  });

  it('leave a link-local peer that is no address of this host without a host', async () => {
    const link = { active: 'fe80::1', passive: 'fe80::2', port: 22, scope: 'local' } as const;
    const host = new WorldHost('web-1', [])
      .address('fe80::1', '', true)
      .process('ssh')
      .flow({ ...link, side: 'active', process: 'ssh' });
    const graph = await deps(await world(host), 'process:ssh');
    assert.deepEqual(sentences(graph), ['ssh@web-1 > ?@no agent fe80::2 22: 1 active stream']);
    assert.equal(graph?.nodes[1]?.id, `ip:fe80::2%${host.hostId}`);
  });

  it('find a container by the namespace that owns the bridge address', async () => {
    const bridge = {
      active: '172.17.0.1',
      passive: '172.17.0.2',
      port: 80,
      scope: 'local',
    } as const;
    const host = new WorldHost('web-1', [])
      .address('172.17.0.1', '', true)
      .address('172.17.0.2', 'net:9', true)
      .process('proxy')
      .process('app')
      .process('decoy')
      .listen('app', '0.0.0.0', 80, 'net:9')
      .listen('decoy', '0.0.0.0', 80)
      .flow({ ...bridge, side: 'active', process: 'proxy' });
    const config = await world(host);
    const edge = ['proxy@web-1 > app@web-1 172.17.0.2 80: 1 active stream'];
    assert.deepEqual(sentences(await deps(config, 'process:proxy')), edge);
    assert.deepEqual(sentences(await deps(config, 'process:app')), edge);
    assert.deepEqual(sentences(await deps(config, 'process:decoy')), []);
  });
});
