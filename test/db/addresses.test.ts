import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type pg from 'pg';
import { queryDeps, queryFlows } from '../../src/query/deps.ts';
import type { Graph } from '../../src/query/graph.ts';
import { queryRetirement } from '../../src/query/retire.ts';
import { parseTarget } from '../../src/query/target.ts';
import { withClient } from '../support/postgres.ts';
import { at, HOUR, WorldHost } from './query-world.ts';
import { useWorlds } from './worlds.ts';

const world = useWorlds();

/** `ACTIVE@HOST > PASSIVE@HOST CONNECTIONS SEEN-BY`, of every edge of a range. */
async function flows(config: pg.ClientConfig, range = HOUR): Promise<string[]> {
  return sentences(await withClient(config, (client) => queryFlows(client, range)));
}

function sentences({ nodes, edges }: Graph): string[] {
  const name = (id: string): string => {
    const node = nodes.find((it) => it.id === id);
    return `${node?.process ?? '?'}@${node?.host ?? node?.addresses[0]}`;
  };
  return edges
    .map((edge) => {
      const marks = `${edge.seenBy}${edge.ambiguous ? ' ambiguous' : ''}`;
      return `${name(edge.active)} > ${name(edge.passive)} ${edge.connections} ${marks}`;
    })
    .sort();
}

const VIP = '10.0.0.100';
const toVip = { active: '10.0.0.1', passive: VIP, port: 5432 } as const;

/** Opens a connection in each bucket of five minutes. */
function opens(...minutes: readonly number[]) {
  const [first = 0] = minutes;
  return {
    buckets: minutes.map((at) => ({ at, opened: 1 })),
    firstSeen: at(first + 1),
    lastSeen: at((minutes.at(-1) ?? first) + 4),
  };
}

function client(name = 'app-1', address = '10.0.0.1', process = 'app'): WorldHost {
  return new WorldHost(name, [address]).process(process).covered();
}

/** A database server that holds the VIP in given times. */
function server(name: string, address: string, ...held: readonly (readonly [number, number])[]) {
  const host = new WorldHost(name, [address]).process('postgres').covered();
  for (const [from, to] of held) host.address(VIP, '', false, from, to);
  return host.listen('postgres', '0.0.0.0', 5432, '', { firstSeen: at(-120), lastSeen: at(120) });
}

const BEFORE = { since: at(-30), until: at(0) };
const AFTER = { since: at(10), until: at(30) };

describe('an address that moves', () => {
  it('leads to whoever owned it at the time, as an end that nobody saw', async () => {
    const app = client().flow({ ...toVip, side: 'active', process: 'app', ...opens(-10, -5, 10) });
    const config = await world(
      app,
      server('db-1', '10.0.0.2', [-120, 3]),
      server('db-2', '10.0.0.3', [3.2, 120]),
    );
    const all = ['app@app-1 > postgres@db-1 2 active', 'app@app-1 > postgres@db-2 1 active'];
    assert.deepEqual(await flows(config), all);
    assert.deepEqual(await flows(config, BEFORE), [all[0]]);
    assert.deepEqual(await flows(config, AFTER), ['app@app-1 > postgres@db-2 1 active']);
  });

  it('does not lead to a later owner nor, once it was given up, to the earlier one', async () => {
    const app = client().flow({ ...toVip, side: 'active', process: 'app', ...opens(-10, 20) });
    const config = await world(app, server('db-1', '10.0.0.2', [-120, 0]));
    const early = 'app@app-1 > postgres@db-1 1 active';
    assert.deepEqual(await flows(config), [`app@app-1 > ?@${VIP} 1 active`, early]);
    const taken = client().flow({ ...toVip, side: 'active', process: 'app', ...opens(-10) });
    const later = await world(taken, server('db-1', '10.0.0.2', [0, 120]));
    assert.deepEqual(await flows(later), [`app@app-1 > ?@${VIP} 1 active`]);
  });

  it('can come back: A, B, A', async () => {
    const use = opens(-20, -15, 0, 15, 20);
    const app = client().flow({ ...toVip, side: 'active', process: 'app', ...use });
    const config = await world(
      app,
      server('db-1', '10.0.0.2', [-120, -5], [10, 120]),
      server('db-2', '10.0.0.3', [-5, 10]),
    );
    assert.deepEqual(await flows(config), [
      'app@app-1 > postgres@db-1 4 active',
      'app@app-1 > postgres@db-2 1 active',
    ]);
    assert.deepEqual(await flows(config, { since: at(-5), until: at(10) }), [
      'app@app-1 > postgres@db-2 1 active',
    ]);
  });

  it('is not guessed in the very bucket of the move, unless the edge was used on one side of it', async () => {
    const hosts = () => [
      server('db-1', '10.0.0.2', [-120, 2]),
      server('db-2', '10.0.0.3', [2, 120]),
    ];
    const straddling = { buckets: [{ opened: 3 }], firstSeen: at(1), lastSeen: at(4) };
    const app = client().flow({ ...toVip, side: 'active', process: 'app', ...straddling });
    assert.deepEqual(await flows(await world(app, ...hosts())), [`app@app-1 > ?@${VIP} 3 active`]);
    const late = { ...straddling, firstSeen: at(2.5) };
    const other = client().flow({ ...toVip, side: 'active', process: 'app', ...late });
    assert.deepEqual(await flows(await world(other, ...hosts())), [
      'app@app-1 > postgres@db-2 3 active',
    ]);
  });

  it('pairs halves with those of the same time', async () => {
    const app = client().process('batch');
    app.flow({ ...toVip, side: 'active', process: 'app', ...opens(-20, -10) });
    app.flow({ ...toVip, side: 'active', process: 'batch', ...opens(10, 20) });
    const first = server('db-1', '10.0.0.2', [-120, 0]);
    first.flow({ ...toVip, side: 'passive', process: 'postgres', ...opens(-20, -10) });
    const second = server('db-2', '10.0.0.3', [0, 120]);
    second.flow({ ...toVip, side: 'passive', process: 'postgres', ...opens(10, 20) });
    const config = await world(app, first, second);
    assert.deepEqual(await flows(config), [
      'app@app-1 > postgres@db-1 2 both',
      'batch@app-1 > postgres@db-2 2 both',
    ]);
  });

  it('counts a connection that stays open over a change of nothing else once', async () => {
    const app = client();
    const buckets = [
      { at: -10, opened: 2, openNow: 1, openMax: 2 },
      { at: -5, openAtStart: 1, openNow: 1, openMax: 1 },
      { at: 10, openAtStart: 1, opened: 1, openNow: 2, openMax: 2 },
    ];
    const seen = { firstSeen: at(-9), lastSeen: at(14) };
    app.flow({ ...toVip, side: 'active', process: 'app', buckets, ...seen });
    // db-1 kept the address; that db-2 claimed it for some minutes changes the owners in between.
    const config = await world(
      app,
      server('db-1', '10.0.0.2', [-120, 120]),
      server('db-2', '10.0.0.3', [0, 8]),
    );
    const graph = await withClient(config, (pg) => queryFlows(pg, HOUR));
    assert.deepEqual(sentences(graph), ['app@app-1 > postgres@db-1 3 active']);
    assert.deepEqual(
      graph.edges.map(({ open }) => open),
      [2n],
    );
  });

  it('is presumed to stay where it was while no agent looked', async () => {
    const app = client().flow({ ...toVip, side: 'active', process: 'app', ...opens(-20, 0, 20) });
    const runs = [
      [-60, -10],
      [10, 15],
    ] as const;
    const restarted = server('db-1', '10.0.0.2', ...runs).loopback(...runs);
    assert.deepEqual(await flows(await world(app, restarted)), [
      'app@app-1 > postgres@db-1 3 active',
    ]);
  });

  it('makes who used it before no dependent of who has it now', async () => {
    const app = client().flow({ ...toVip, side: 'active', process: 'app', ...opens(-10, -5) });
    const old = server('db-1', '10.0.0.2', [-120, 0]);
    const now = server('db-2', '10.0.0.3', [0, 120]);
    const config = await world(app, old, now);
    await withClient(config, async (pg) => {
      const asked = { direction: 'dependents', depth: 1 } as const;
      const ofOld = await queryDeps(pg, parseTarget('host:db-1'), HOUR, asked);
      assert.deepEqual(ofOld && sentences(ofOld), ['app@app-1 > postgres@db-1 2 active']);
      const ofNow = await queryDeps(pg, parseTarget('host:db-2'), HOUR, asked);
      assert.deepEqual(ofNow?.edges, []);
      const retired = await queryRetirement(pg, parseTarget('host:db-2'), HOUR);
      assert.equal(retired?.verdict, 'unused');
    });
  });
});

describe('two hosts that swap an address in mid-range', () => {
  const toS = { passive: '10.0.0.9', port: 80 } as const;
  const swapped = (): [WorldHost, WorldHost] => [
    new WorldHost('x', [])
      .process('px')
      .covered()
      .address('10.0.0.1', '', false, -120, 0)
      .address('10.0.0.2', '', false, 0, 120),
    new WorldHost('y', [])
      .process('py')
      .covered()
      .address('10.0.0.2', '', false, -120, 0)
      .address('10.0.0.1', '', false, 0, 120),
  ];
  const web = () => new WorldHost('web', ['10.0.0.9']).process('nginx').covered();

  it('keep their own connections', async () => {
    const [x, y] = swapped();
    x.flow({ ...toS, active: '10.0.0.1', side: 'active', process: 'px', ...opens(-10) });
    x.flow({ ...toS, active: '10.0.0.2', side: 'active', process: 'px', ...opens(10) });
    y.flow({ ...toS, active: '10.0.0.2', side: 'active', process: 'py', ...opens(-10) });
    const s = web();
    for (const active of ['10.0.0.1', '10.0.0.2']) {
      s.flow({ ...toS, active, side: 'passive', process: 'nginx', ...opens(-10, 10) });
    }
    const config = await world(x, y, s);
    const all = [
      '?@y > nginx@web 1 passive', // y after the swap: its half is missing
      'px@x > nginx@web 1 both',
      'px@x > nginx@web 1 both',
      'py@y > nginx@web 1 both',
    ];
    assert.deepEqual(await flows(config), all);
    assert.deepEqual(await flows(config, BEFORE), [
      'px@x > nginx@web 1 both',
      'py@y > nginx@web 1 both',
    ]);
    assert.deepEqual(await flows(config, AFTER), [
      '?@y > nginx@web 1 passive',
      'px@x > nginx@web 1 both',
    ]);
  });

  it('are told apart also where only one of them runs an agent', async () => {
    const [x] = swapped();
    x.flow({ ...toS, active: '10.0.0.1', side: 'active', process: 'px', ...opens(-10) });
    const s = web();
    s.flow({ ...toS, active: '10.0.0.1', side: 'passive', process: 'nginx', ...opens(-10, 10) });
    const config = await world(x, s);
    assert.deepEqual(await flows(config), [
      '?@10.0.0.1 > nginx@web 1 passive',
      'px@x > nginx@web 1 both',
    ]);
    assert.deepEqual(await flows(config, BEFORE), ['px@x > nginx@web 1 both']);
    assert.deepEqual(await flows(config, AFTER), ['?@10.0.0.1 > nginx@web 1 passive']);
  });
});

describe('addresses of containers', () => {
  const toContainer = { active: '172.17.0.1', passive: '172.17.0.2', port: 80, scope: 'local' };

  it('lead to the container that had them at the time', async () => {
    const host = new WorldHost('docker-1', ['10.0.0.1']).covered();
    host.process('app').process('old', { containerId: 'c1' }).process('new', { containerId: 'c2' });
    host.address('172.17.0.1', '', true);
    host
      .address('172.17.0.2', 'net:1', true, -120, -2)
      .address('172.17.0.2', 'net:2', true, -1, 120);
    const seen = { firstSeen: at(-60), lastSeen: at(60) };
    host.listen('old', '0.0.0.0', 80, 'net:1', { ...seen, lastSeen: at(-2) });
    host.listen('new', '0.0.0.0', 80, 'net:2', { ...seen, firstSeen: at(-1) });
    host.flow({ ...toContainer, side: 'active', process: 'app', ...opens(-20, -10, 5) });
    const config = await world(host);
    assert.deepEqual(await flows(config), [
      'app@docker-1 > new@docker-1 1 active',
      'app@docker-1 > old@docker-1 2 active',
    ]);
    assert.deepEqual(await flows(config, AFTER), []);
    assert.deepEqual(await flows(config, BEFORE), ['app@docker-1 > old@docker-1 2 active']);
  });

  it('are not those of another host, nor is what they connect to outside lost', async () => {
    const host = (name: string, address: string) => {
      const made = new WorldHost(name, [address]).process('app').process('web').covered();
      made.address('172.17.0.1', '', true).address('172.17.0.2', 'net:1', true);
      made.listen('web', '0.0.0.0', 80, 'net:1');
      made.flow({ ...toContainer, side: 'active', process: 'app' });
      const out = { active: '172.17.0.2', passive: '10.0.0.9', port: 5432, scope: 'local>' };
      return made.flow({ ...out, side: 'active', process: 'web' });
    };
    const db = new WorldHost('db', ['10.0.0.9']).process('postgres').covered();
    db.listen('postgres', '0.0.0.0', 5432);
    const config = await world(host('docker-1', '10.0.0.1'), host('docker-2', '10.0.0.2'), db);
    const out = ['web@docker-1 > postgres@db 1 active', 'web@docker-2 > postgres@db 1 active'];
    assert.deepEqual(await flows(config), [
      'app@docker-1 > web@docker-1 1 active',
      'app@docker-2 > web@docker-2 1 active',
      ...out,
    ]);
    const asked = { direction: 'dependents', depth: 2 } as const;
    await withClient(config, async (pg) => {
      const graph = await queryDeps(pg, parseTarget('process:postgres'), HOUR, asked);
      assert.ok(graph);
      assert.deepEqual(sentences(graph).slice(-2), out);
      assert.equal(graph.edges.length, 4);
    });
  });
});
