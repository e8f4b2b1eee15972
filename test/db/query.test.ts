import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { type DepsOptions, queryDeps, queryFlows } from '../../src/query/deps.ts';
import type { Graph, GraphEdge } from '../../src/query/graph.ts';
import { queryHosts, queryListeners } from '../../src/query/inventory.ts';
import { parseTarget } from '../../src/query/target.ts';
import { startTestPostgres, type TestPostgres, withClient } from '../support/postgres.ts';
import { at, HOUR, WorldHost, writeWorld } from './query-world.ts';

let postgres: TestPostgres;
before(async () => {
  postgres = await startTestPostgres();
});
after(async () => {
  await postgres.stop();
});

/** A database of its own with what the hosts saw. */
async function world(...hosts: readonly WorldHost[]): Promise<pg.ClientConfig> {
  const config = await postgres.createDatabase();
  await writeWorld(config, hosts);
  return config;
}

function deps(
  config: pg.ClientConfig,
  target: string,
  { range = HOUR, ...options }: Partial<DepsOptions> & { range?: typeof HOUR } = {},
): Promise<Graph | null> {
  const asked = { direction: 'both', depth: 1, ...options } as const;
  return withClient(config, (client) => queryDeps(client, parseTarget(target), range, asked));
}

/** What a graph says, as sentences: names instead of ids. */
function sentences(graph: Graph | null): string[] {
  assert.ok(graph, 'no such target');
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  assert.equal(nodes.size, graph.nodes.length, 'node ids are unique');
  const name = (id: string): string => {
    const node = nodes.get(id);
    assert.ok(node, `edge to a node that is not listed: ${id}`);
    return `${node.process ?? '?'}@${node.host ?? 'no agent'}`;
  };
  return graph.edges
    .map((edge) => `${name(edge.active)} > ${name(edge.passive)} ${said(edge)}`)
    .sort();
}

function said(edge: GraphEdge): string {
  const { passiveAddress, passivePort, connections, failed, open, seenBy, foundBy } = edge;
  const parts = [
    `${passiveAddress} ${passivePort}:`,
    `${connections}`,
    ...(failed > 0n ? [`failed ${failed}`] : []),
    ...(open > 0n ? [`open ${open}`] : []),
    seenBy,
    foundBy.join('+'),
    ...(edge.ambiguous ? ['ambiguous'] : []),
  ];
  return parts.join(' ');
}

function web(): WorldHost {
  return new WorldHost('web-1', ['10.0.0.10'])
    .process('nginx', { pgid: 4656, unit: 'nginx.service' })
    .listen('nginx', '0.0.0.0', 80)
    .covered();
}

const toWeb = { active: '10.0.0.11', passive: '10.0.0.10', port: 80 } as const;

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

describe('a closure', () => {
  /** a > b > c > a, c > d, and b talks to itself; each on a host of its own. */
  async function ring(): Promise<pg.ClientConfig> {
    const names = ['a', 'b', 'c', 'd'];
    const hosts = new Map(
      names.map((name, index) => [
        name,
        new WorldHost(`h-${name}`, [`10.0.0.${index + 1}`])
          .process(name)
          .listen(name, '0.0.0.0', 80),
      ]),
    );
    const connect = (from: string, to: string): void => {
      const flow = {
        active: `10.0.0.${names.indexOf(from) + 1}`,
        passive: `10.0.0.${names.indexOf(to) + 1}`,
        port: 80,
      };
      hosts.get(from)?.flow({ ...flow, side: 'active', process: from });
      hosts.get(to)?.flow({ ...flow, side: 'passive', process: to });
    };
    connect('a', 'b');
    connect('b', 'c');
    connect('c', 'a');
    connect('c', 'd');
    const self = { active: '127.0.0.1', passive: '127.0.0.1', port: 80, scope: 'local' };
    hosts.get('b')?.flow({ ...self, side: 'active', process: 'b' });
    hosts.get('b')?.flow({ ...self, side: 'passive', process: 'b' });
    return world(...hosts.values());
  }

  const short = (graph: Graph | null): string[] =>
    sentences(graph).map((text) => text.replace(/^(\w)@\S+ > (\w).*$/, '$1$2'));
  const depths = (graph: Graph | null): (string | number | null)[][] =>
    (graph?.nodes ?? []).map((node) => [node.process, node.depth]).sort();

  it('follows dependencies level by level, and ends in a cycle', async () => {
    const config = await ring();
    const ask = async (depth: number) =>
      await deps(config, 'process:a', { direction: 'dependencies', depth });
    assert.deepEqual(short(await ask(1)), ['ab']);
    assert.deepEqual(short(await ask(2)), ['ab', 'bb', 'bc']);
    assert.deepEqual(short(await ask(3)), ['ab', 'bb', 'bc', 'ca', 'cd']);
    const all = await ask(100);
    assert.deepEqual(short(all), ['ab', 'bb', 'bc', 'ca', 'cd']);
    assert.deepEqual(depths(all), [
      ['a', 0],
      ['b', 1],
      ['c', 2],
      ['d', 3],
    ]);
  });

  it('follows dependents, and both directions apart from each other', async () => {
    const config = await ring();
    const up = await deps(config, 'process:d', { direction: 'dependents', depth: 2 });
    assert.deepEqual(short(up), ['bc', 'cd']);
    const both = await deps(config, 'process:c');
    assert.deepEqual(short(both), ['bc', 'ca', 'cd']);
    assert.deepEqual(depths(both), [
      ['a', 1],
      ['b', 1],
      ['c', 0],
      ['d', 1],
    ]);
    const self = await deps(config, 'process:b');
    assert.deepEqual(short(self), ['ab', 'bb', 'bc']);
  });

  it('limits only the seeds to the port of the TARGET', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl');
    const server = web().listen('nginx', '0.0.0.0', 443).process('api');
    const out = { active: '10.0.0.10', passive: '192.0.2.5', port: 5432 } as const;
    for (const port of [80, 443]) {
      client.flow({ ...toWeb, port, side: 'active', process: 'curl' });
      server.flow({ ...toWeb, port, side: 'passive', process: 'nginx' });
    }
    server.flow({ ...out, side: 'active', process: 'nginx' });
    server.flow({ ...out, side: 'active', process: 'api' });
    const config = await world(client, server);
    assert.deepEqual(sentences(await deps(config, ':443')), [
      'curl@client-1 > nginx@web-1 10.0.0.10 443: 1 both stream',
      'nginx@web-1 > ?@no agent 192.0.2.5 5432: 1 active stream',
    ]);
  });
});

describe('a range', () => {
  async function timeline(): Promise<pg.ClientConfig> {
    const client = new WorldHost('client-1', ['10.0.0.11']).process('curl').covered();
    client.flow({
      ...toWeb,
      side: 'active',
      process: 'curl',
      lastSeen: at(14),
      buckets: [
        { at: 0, opened: 1, openNow: 1 },
        { at: 5, opened: 10, openAtStart: 1, openNow: 3 },
        { at: 10, opened: 100, openAtStart: 3, openNow: 7 },
      ],
    });
    return world(client, web());
  }

  it('takes the buckets that overlap it, and no other', async () => {
    const config = await timeline();
    const ask = async (since: number, until: number) => {
      const graph = await deps(config, ':80', { range: { since: at(since), until: at(until) } });
      const [edge] = graph?.edges ?? [];
      return edge === undefined ? null : [edge.connections, edge.open];
    };
    assert.deepEqual(await ask(0, 15), [111n, 7n]);
    assert.deepEqual(await ask(4.999, 5), [1n, 1n]);
    assert.deepEqual(await ask(5, 5.001), [11n, 3n]);
    assert.deepEqual(await ask(7, 12), [111n, 7n]);
    assert.deepEqual(await ask(14.999, 60), [103n, 7n]);
    assert.equal(await ask(15, 60), null);
    assert.equal(await ask(-60, 0), null);
  });

  it('adds up epochs of a bucket, and counts what was open at the start of the first only', async () => {
    const config = await postgres.createDatabase();
    const first = new WorldHost('client-1', ['10.0.0.11']).process('curl');
    const flow = { ...toWeb, side: 'active', process: 'curl' } as const;
    await writeWorld(
      config,
      [first.flow({ ...flow, buckets: [{ openAtStart: 2, opened: 5, openNow: 9 }] })],
      1,
    );
    const again = Object.assign(new WorldHost('client-1', ['10.0.0.11']), { hostId: first.hostId });
    again.process('curl').flow({ ...flow, buckets: [{ openAtStart: 50, opened: 3, openNow: 4 }] });
    await writeWorld(config, [again], 2);
    const graph = await deps(config, 'process:curl');
    assert.deepEqual(sentences(graph), [
      'curl@client-1 > ?@no agent 10.0.0.10 80: 10 open 4 active stream',
    ]);
  });

  it('clips coverage, and keeps gaps', async () => {
    const server = web().covered({
      from: at(10),
      to: at(12),
      gap: true,
      note: 'helper restarted',
      lost: 2n ** 60n,
    });
    const graph = await deps(await world(server), ':80', {
      range: { since: at(0), until: at(11) },
    });
    assert.deepEqual(
      graph?.coverage.map(({ from, to, gap, note, lost }) => ({ from, to, gap, note, lost })),
      [
        { from: at(0), to: at(11), gap: false, note: '', lost: 0n },
        { from: at(10), to: at(11), gap: true, note: 'helper restarted', lost: 2n ** 60n },
      ],
    );
    assert.deepEqual(graph?.edges, []);
  });
});

describe('lists', () => {
  it('give all flows, hosts and listeners with their use', async () => {
    const client = new WorldHost('client-1', ['10.0.0.11', '2001:db8::11']).process('curl');
    const server = web().listen('nginx', '10.0.0.10', 443).covered();
    client.flow({
      ...toWeb,
      side: 'active',
      process: 'curl',
      buckets: [{ opened: 4, openNow: 1 }],
    });
    server.flow({ ...toWeb, side: 'passive', process: 'nginx', buckets: [{ opened: 4 }] });
    const config = await world(client, server);
    await withClient(config, async (db) => {
      const flows = await queryFlows(db, HOUR);
      assert.deepEqual(sentences(flows), [
        'curl@client-1 > nginx@web-1 10.0.0.10 80: 4 open 1 both stream',
      ]);
      const hosts = await queryHosts(db, HOUR);
      assert.deepEqual(
        hosts.map(({ host, addresses }) => [host, addresses]),
        [
          ['client-1', ['10.0.0.11', '2001:db8::11']],
          ['web-1', ['10.0.0.10']],
        ],
      );
      const listeners = await queryListeners(db, HOUR, flows);
      assert.deepEqual(
        listeners.map(({ address, port, connections, open }) => [address, port, connections, open]),
        [
          ['0.0.0.0', 80, 4n, 1n],
          ['10.0.0.10', 443, 0n, 0n],
        ],
      );
    });
  });
});
