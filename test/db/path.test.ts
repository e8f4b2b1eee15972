import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type pg from 'pg';
import { type PathAnswer, queryPath } from '../../src/query/path.ts';
import { parseTarget } from '../../src/query/target.ts';
import { PLAIN } from '../../src/render/palette.ts';
import { renderPath } from '../../src/render/path-text.ts';
import { withClient } from '../support/postgres.ts';
import { Chain } from './chain.ts';
import { at, HOUR } from './query-world.ts';
import { useWorlds } from './worlds.ts';

const worlds = useWorlds();

const world = (chain: Chain): Promise<pg.ClientConfig> => worlds(...chain.hosts.values());

async function path(config: pg.ClientConfig, from: string, to: string): Promise<PathAnswer> {
  const [source, goal] = [parseTarget(from), parseTarget(to)];
  const result = await withClient(config, (client) => queryPath(client, source, goal, HOUR));
  assert.ok(result.kind === 'answer', 'no such target');
  return result.answer;
}

function chains({ paths, nodes }: PathAnswer): string[] {
  const names = new Map(
    nodes.map((node) => [node.id, node.process ?? node.addresses.join()] as const),
  );
  return paths
    .map((found) => {
      assert.equal(found.hops, found.nodes.length - 1);
      const text = found.nodes.map((id) => names.get(id) ?? assert.fail(id)).join(' > ');
      return found.uncertain ? `${text} uncertain` : text;
    })
    .sort();
}

function text(answer: PathAnswer): string {
  return renderPath(answer, { from: 'A', to: 'B', now: at(5), palette: PLAIN });
}

describe('path', () => {
  it('finds the chain, and says what each hop rests on', async () => {
    const chain = new Chain(['client', 'nginx', 'app', 'db', 'other'])
      .connect('client', 'nginx')
      .connect('nginx', 'app')
      .connect('app', 'db')
      .connect('nginx', 'other');
    const config = await world(chain);
    const answer = await path(config, 'process:client', 'process:db');
    assert.deepEqual(chains(answer), ['client > nginx > app > db']);
    assert.deepEqual(
      answer.nodes.map(({ process, depth }) => [process, depth]),
      [
        ['client', 0],
        ['nginx', 1],
        ['app', 2],
        ['db', 3],
      ],
    );
    assert.equal(answer.edges.length, 3);
    assert.match(text(answer), /^ {8}└--> 10\.0\.0\.4:80 \('db', pgid=100\) {2}on h-db, 1 conn/m);
    const reverse = await path(config, 'process:db', 'process:client');
    assert.deepEqual(chains(reverse), []);
    assert.match(text(reverse), /^no chain .*\n# 2 of 2 hosts watched throughout the range\n$/);
    assert.deepEqual(chains(await path(config, 'host:h-client', '10.0.0.4:80')), [
      'client > nginx > app > db',
    ]);
    const missing = await withClient(config, (client) =>
      queryPath(client, parseTarget('process:db'), parseTarget(':1'), HOUR),
    );
    assert.deepEqual(missing, { kind: 'absent', which: 'to' });
  });

  it('gives all shortest chains, five at most, and no longer ones', async () => {
    const middle = ['m1', 'm2', 'm3', 'm4', 'm5', 'm6'];
    const wide = new Chain(['a', 'b', ...middle]);
    for (const name of middle) wide.connect('a', name).connect(name, 'b');
    const answer = await path(await world(wide), 'process:a', 'process:b');
    assert.equal(answer.paths.length, 5);
    assert.ok(answer.more);
    assert.match(text(answer), /# there are more chains of this length/);
    const two = new Chain(['a', 'b', 'm1', 'm2', 'x'])
      .connect('a', 'm1')
      .connect('a', 'm2')
      .connect('m1', 'b')
      .connect('m2', 'b')
      .connect('m2', 'x')
      .connect('x', 'b');
    const both = await path(await world(two), 'process:a', 'process:b');
    assert.deepEqual(chains(both), ['a > m1 > b', 'a > m2 > b']);
    assert.ok(!both.more);
  });

  it('takes the port of TO seriously, ends in cycles, and follows no failed connect', async () => {
    const chain = new Chain(['a', 'b', 'db'])
      .connect('a', 'db', { port: 81 })
      .connect('a', 'b')
      .connect('b', 'a')
      .connect('b', 'db')
      .fail('db', 'b');
    chain.host('db').listen('db', '0.0.0.0', 81);
    const config = await world(chain);
    assert.deepEqual(chains(await path(config, 'process:a', '10.0.0.3:80')), ['a > b > db']);
    assert.deepEqual(chains(await path(config, 'process:a', '10.0.0.3:81')), ['a > db']);
    assert.deepEqual(chains(await path(config, 'process:db', 'process:a')), []);
    assert.deepEqual(chains(await path(config, 'process:a', 'process:a')), ['a']);
    assert.match(text(await path(config, 'process:a', 'process:a')), /both FROM and TO/);
  });

  it('prefers a longer chain of known processes, and marks others', async () => {
    const unknown = (chain: Chain): Chain => {
      const [from, relay, to] = ['a', 'relay', 'b'].map((name) => chain.address(name));
      assert.ok(from !== undefined && relay !== undefined && to !== undefined);
      const first = { active: from, passive: relay, port: 81, process: 'a' };
      chain.host('a').flow({ ...first, side: 'active' });
      const second = { active: relay, passive: to, port: 80, process: '' };
      chain.host('relay').flow({ ...second, side: 'active' });
      return chain;
    };
    const only = await world(unknown(new Chain(['a', 'relay', 'b'])));
    const uncertain = await path(only, 'process:a', 'process:b');
    assert.deepEqual(chains(uncertain), ['a > 10.0.0.2 > b uncertain']);
    assert.match(text(uncertain), /UNCERTAIN/);
    const sure = unknown(new Chain(['a', 'relay', 'b', 'x', 'y']))
      .connect('a', 'x')
      .connect('x', 'y')
      .connect('y', 'b');
    assert.deepEqual(chains(await path(await world(sure), 'process:a', 'process:b')), [
      'a > x > y > b',
    ]);
  });
});
