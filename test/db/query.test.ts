import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type pg from 'pg';
import { queryFlows } from '../../src/query/deps.ts';
import type { Graph } from '../../src/query/graph.ts';
import { queryHosts, queryListeners } from '../../src/query/inventory.ts';
import { withClient } from '../support/postgres.ts';
import { deps, sentences, toWeb, web } from './asking.ts';
import { at, HOUR, WorldHost, writeWorld } from './query-world.ts';
import { useWorlds } from './worlds.ts';

const world = useWorlds();

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
    const config = await world();
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
