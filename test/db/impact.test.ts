import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type pg from 'pg';
import { type Impact, queryImpact } from '../../src/query/impact.ts';
import { parseTarget } from '../../src/query/target.ts';
import { renderImpact } from '../../src/render/impact-text.ts';
import { PLAIN } from '../../src/render/palette.ts';
import { withClient } from '../support/postgres.ts';
import { Chain } from './chain.ts';
import { at, HOUR } from './query-world.ts';
import { useWorlds } from './worlds.ts';

const world = useWorlds();

function impact(config: pg.ClientConfig, target: string, depth = 100): Promise<Impact | null> {
  return withClient(config, (client) => queryImpact(client, parseTarget(target), HOUR, depth));
}

/** `NAME DEPTH`, with `?` after the uncertain. */
function reached(found: Impact | null): string[] {
  assert.ok(found, 'no such target');
  return found.nodes.map(
    ({ process, addresses, depth, uncertain }) =>
      `${process ?? addresses.join()} ${depth}${uncertain ? ' uncertain' : ''}`,
  );
}

describe('impact', () => {
  it('lists everything that depends on TARGET, nearest first, and nothing else', async () => {
    const chain = new Chain(['client', 'nginx', 'app', 'db', 'mail'])
      .connect('client', 'nginx')
      .connect('nginx', 'app')
      .connect('app', 'db')
      .connect('app', 'mail');
    const config = await world(...chain.hosts.values());
    const found = await impact(config, 'process:db');
    assert.deepEqual(reached(found), ['db 0', 'app 1', 'nginx 2', 'client 3']);
    assert.equal(found?.edges.length, 3);
    assert.ok(found?.edges.every((edge) => edge.seenBy === 'both' && edge.connections === 1n));
    assert.equal(new Set(found?.coverage.map(({ host }) => host)).size, 4);
    assert.deepEqual(reached(await impact(config, '10.0.0.4:80', 2)), ['db 0', 'app 1', 'nginx 2']);
    assert.deepEqual(reached(await impact(config, 'process:client')), ['client 0']);
    assert.equal(await impact(config, 'process:none'), null);
    const text = renderImpact(found ?? assert.fail(), { now: at(5), palette: PLAIN, depth: 100 });
    assert.deepEqual(
      text.split('\n').map((line) => line.split('  ')[0]),
      [
        "10.0.0.4:80 ('db', pgid=100)",
        '1 hop: 1 node',
        "└<-- 10.0.0.3:many ('app', pgid=100)",
        '2 hops: 1 node',
        "└<-- 10.0.0.2:many ('nginx', pgid=100)",
        '3 hops: 1 node',
        "└<-- 10.0.0.1:many ('client', pgid=100)",
        '# 3 nodes on 3 hosts with an agent',
        '# 4 of 4 hosts watched throughout the range',
        '',
      ],
    );
  });

  it('ends in cycles', async () => {
    const chain = new Chain(['a', 'b', 'c'])
      .connect('a', 'b')
      .connect('b', 'c')
      .connect('c', 'a')
      .connect('b', 'b');
    const found = await impact(await world(...chain.hosts.values()), 'process:c');
    assert.deepEqual(reached(found), ['c 0', 'b 1', 'a 2']);
    assert.equal(found?.edges.length, 4);
  });

  it('marks what is reached only by way of an unknown process', async () => {
    // caller -> (unknown process of relay's host) -> db; sure -> relay -> db by another edge
    const chain = new Chain(['caller', 'relay', 'db', 'sure'])
      .connect('caller', 'relay')
      .connect('sure', 'db');
    chain.host('relay').flow({
      side: 'active',
      process: '',
      active: chain.address('relay'),
      passive: chain.address('db'),
      port: 80,
    });
    chain.host('caller').flow({
      side: 'active',
      process: 'caller',
      active: chain.address('caller'),
      passive: chain.address('relay'),
      port: 81,
    });
    const config = await world(...chain.hosts.values());
    const found = await impact(config, 'process:db');
    assert.deepEqual(
      reached(found).sort(),
      ['10.0.0.2 1', 'caller 2 uncertain', 'db 0', 'sure 1'].sort(),
    );
    const text = renderImpact(found ?? assert.fail(), { now: at(5), palette: PLAIN, depth: 100 });
    assert.match(text, /'caller'.*UNCERTAIN: by way of an unknown process/);
    assert.match(text, /1 of them uncertain/);
  });

  it('a longer chain of known processes makes it certain', async () => {
    const chain = new Chain(['caller', 'relay', 'db', 'other'])
      .connect('caller', 'other')
      .connect('other', 'db');
    const [relay, caller] = [chain.host('relay'), chain.host('caller')];
    const hop = { active: chain.address('relay'), passive: chain.address('db'), port: 80 };
    relay.flow({ ...hop, side: 'active', process: '' });
    const first = { active: chain.address('caller'), passive: chain.address('relay'), port: 81 };
    caller.flow({ ...first, side: 'active', process: 'caller' });
    const found = await impact(await world(...chain.hosts.values()), 'process:db');
    assert.deepEqual(reached(found).sort(), ['10.0.0.2 1', 'caller 2', 'db 0', 'other 1']);
  });

  it('shows who only failed to connect, and follows it no further', async () => {
    const chain = new Chain(['client', 'app', 'db']).connect('client', 'app').fail('app', 'db');
    const config = await world(...chain.hosts.values());
    const found = await impact(config, 'process:db');
    assert.deepEqual(reached(found), ['db 0', 'app 1']);
    const text = renderImpact(found ?? assert.fail(), { now: at(5), palette: PLAIN, depth: 100 });
    assert.match(text, /'app'.*FAILED 3 times/);
  });

  it('reaches a failing node by the edge that works, though longer', async () => {
    const chain = new Chain(['client', 'app', 'proxy', 'db'])
      .connect('client', 'app')
      .fail('app', 'db')
      .connect('app', 'proxy')
      .connect('proxy', 'db');
    const found = await impact(await world(...chain.hosts.values()), 'process:db');
    assert.deepEqual(reached(found), ['db 0', 'proxy 1', 'app 2', 'client 3']);
    assert.equal(found?.edges.length, 4);
  });

  it('says which host was not watched, and when', async () => {
    const chain = new Chain(['app', 'db'], false).connect('app', 'db');
    chain.host('app').covered({ from: at(-30), to: at(0) });
    chain.host('db').covered();
    const config = await world(...chain.hosts.values());
    const found = await impact(config, 'process:db');
    const text = renderImpact(found ?? assert.fail(), { now: at(5), palette: PLAIN, depth: 100 });
    assert.match(
      text,
      /# h-app: watched 30m of 1h \(stream, fentry\); not watched 2025-06-01 12:00:00Z to 2025-06-01 12:30:00Z/,
    );
    assert.match(text, /# 1 of 2 hosts watched throughout/);
  });
});
