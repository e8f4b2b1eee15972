import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { type Diff, isProven, queryDiff } from '../../src/query/diff.ts';
import { diffFormat, renderDiff } from '../../src/render/diff-text.ts';
import { PLAIN } from '../../src/render/palette.ts';
import { startTestPostgres, type TestPostgres, withClient } from '../support/postgres.ts';
import { Chain } from './chain.ts';
import { at, type BucketOf, type WorldHost, writeWorld } from './query-world.ts';

let postgres: TestPostgres;
before(async () => {
  postgres = await startTestPostgres();
});
after(async () => {
  await postgres.stop();
});

const FIRST = { since: at(0), until: at(30) };
const SECOND = { since: at(30), until: at(60) };

async function world(...hosts: readonly WorldHost[]): Promise<pg.ClientConfig> {
  const config = await postgres.createDatabase();
  await writeWorld(config, hosts);
  return config;
}

function diff(config: pg.ClientConfig, was = FIRST, is = SECOND): Promise<Diff> {
  return withClient(config, (client) => queryDiff(client, was, is));
}

function changes(found: Diff): string[] {
  const names = new Map(
    found.nodes.map((node) => [node.id, node.process ?? node.addresses.join()] as const),
  );
  const name = (id: string): string => names.get(id) ?? assert.fail(`no node ${id}`);
  return found.edges
    .map(
      (edge) =>
        `${edge.change} ${name(edge.active)} > ${name(edge.passive)}${isProven(edge) ? '' : ' unproven'}`,
    )
    .sort();
}

/** Times and a bucket in the first range, in the second, or in both. */
function during(ranges: 'first' | 'second' | 'both', bucket: BucketOf = { opened: 1 }) {
  const starts = { first: [10], second: [40], both: [10, 40] }[ranges];
  return {
    firstSeen: at(starts[0] ?? 0),
    lastSeen: at((starts.at(-1) ?? 0) + 1),
    buckets: starts.map((start) => ({ ...bucket, at: start })),
  };
}

describe('diff', () => {
  it('gives what is new, gone and failing, and nothing that stayed', async () => {
    const chain = new Chain(['app', 'db', 'cache', 'queue', 'mail'])
      .connect('app', 'db', during('both'))
      .connect('app', 'cache', during('second'))
      .connect('app', 'queue', during('first'))
      .fail('db', 'mail', during('second', { failedRefused: 2 }))
      .fail('cache', 'mail', during('both', { failedRefused: 2 }));
    const config = await world(...chain.hosts.values());
    const found = await diff(config);
    assert.deepEqual(changes(found), ['failed db > mail', 'gone app > queue', 'new app > cache']);
    const text = renderDiff(found, at(60), PLAIN).split('\n');
    assert.match(
      text[0] ?? '',
      /^! 10\.0\.0\.2:many \('db', pgid=100\) --> 10\.0\.0\.5:80 \('mail'/,
    );
    assert.match(
      text[1] ?? '',
      /^\+ .*'app'.*'cache'.*h-app to h-cache, 1 connection, first 20m ago$/,
    );
    assert.match(text[2] ?? '', /^- .*'app'.*'queue'.*last 49m ago$/);
    assert.deepEqual(text.slice(3), [
      '# before: 2025-06-01 12:00:00Z to 2025-06-01 12:30:00Z',
      '#   5 of 5 hosts watched throughout the range',
      '# after: 2025-06-01 12:30:00Z to 2025-06-01 13:00:00Z',
      '#   5 of 5 hosts watched throughout the range',
      '',
    ]);
    assert.deepEqual(changes(await diff(config, SECOND, FIRST)).length, 2);
    assert.deepEqual(changes(await diff(config, FIRST, FIRST)), []);
    assert.match(diffFormat(found, 'dot'), /label="new :80 1"/);
    assert.match(diffFormat(found, 'mermaid'), /gone/);
    assert.match(diffFormat(found, 'csv'), /^change,watched,reattributed,active_id,/);
    assert.equal(JSON.parse(diffFormat(found, 'json')).edges.length, 3);
    assert.equal(diffFormat(found, 'jsonl').trimEnd().split('\n').length, 3);
  });

  it('tells a dependency that broke, and one that was mended', async () => {
    const chain = new Chain(['a', 'b', 'c']);
    const [a, b, c] = ['a', 'b', 'c'].map((name) => chain.address(name));
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    const flow = { side: 'active', process: 'a', active: a, port: 80 } as const;
    const [works, fails] = [{ opened: 2 }, { failedTimedOut: 4 }];
    chain.host('a').flow({
      ...flow,
      ...during('both'),
      passive: b,
      buckets: [
        { ...works, at: 10 },
        { ...fails, at: 40 },
      ],
    });
    chain.host('a').flow({
      ...flow,
      ...during('both'),
      passive: c,
      buckets: [
        { ...fails, at: 10 },
        { ...works, at: 40 },
      ],
    });
    const config = await world(...chain.hosts.values());
    assert.deepEqual(changes(await diff(config)), ['failed a > b', 'new a > c']);
  });

  it('ignores other addresses of the same two nodes, on edges that did not change too', async () => {
    const chain = new Chain(['a', 'b', 'c']);
    chain.host('b').address('10.9.9.9', '', false);
    chain.connect('a', 'b', during('both'));
    const moved = { passive: '10.9.9.9', active: chain.address('a'), port: 80 };
    chain.host('a').flow({ ...moved, ...during('second'), side: 'active', process: 'a' });
    chain.host('b').flow({ ...moved, ...during('second'), side: 'passive', process: 'b' });
    // the same dependency by one address first and by another later
    const by = (passive: string) => ({ active: chain.address('c'), passive, port: 80 });
    const first = by(chain.address('b'));
    chain.host('c').flow({ ...first, ...during('first'), side: 'active', process: 'c' });
    chain.host('c').flow({ ...by('10.9.9.9'), ...during('second'), side: 'active', process: 'c' });
    assert.deepEqual(changes(await diff(await world(...chain.hosts.values()))), []);
  });

  it('cuts a bucket that reaches over both ranges by when the edge was seen', async () => {
    const chain = new Chain(['a', 'b', 'c', 'd']);
    const straddling = { buckets: [{ at: 28, opened: 1 }] };
    chain
      .connect('a', 'b', { ...straddling, firstSeen: at(31), lastSeen: at(32) })
      .connect('a', 'c', { ...straddling, firstSeen: at(28), lastSeen: at(29) })
      .connect('a', 'd', { ...straddling, firstSeen: at(28), lastSeen: at(31) });
    const found = await diff(await world(...chain.hosts.values()));
    assert.deepEqual(changes(found), ['gone a > c', 'new a > b']);
  });

  it('keeps what only stayed open', async () => {
    const chain = new Chain(['a', 'b']);
    const open = { openAtStart: 1, openMax: 1, openNow: 1 };
    chain.connect('a', 'b', during('both', open));
    assert.deepEqual(changes(await diff(await world(...chain.hosts.values()))), []);
  });

  it('proves nothing gone where nobody watched, and says so', async () => {
    const chain = new Chain(['a', 'b', 'c', 'd'], false)
      .connect('a', 'b', during('first'))
      .connect('c', 'd', during('first'))
      .connect('b', 'a', during('second'));
    for (const name of ['a', 'b', 'c']) chain.host(name).covered({ from: at(0), to: at(30) });
    chain.host('d').covered({ from: at(-60), to: at(60) });
    const found = await diff(await world(...chain.hosts.values()));
    assert.deepEqual(changes(found), ['gone a > b unproven', 'gone c > d', 'new b > a']);
    const text = renderDiff(found, at(60), PLAIN);
    assert.match(text, /^- .*'a'.*'b'.*NOT WATCHED after: may be there still$/m);
    assert.match(
      text,
      /^# {3}h-a: not watched in this range; not watched 2025-06-01 12:30:00Z to/m,
    );
    const never = new Chain(['a', 'b'], false).connect('a', 'b', during('second'));
    never.host('a').covered({ from: at(30), to: at(60) });
    const first = await diff(await world(...never.hosts.values()));
    assert.deepEqual(changes(first), ['new a > b']);
    assert.match(renderDiff(first, at(60), PLAIN), /NOT WATCHED before: may be older/);
  });

  it('marks what may be another name of what was there', async () => {
    const chain = new Chain(['a', 'b']);
    const flow = { active: chain.address('a'), passive: chain.address('b'), port: 80 };
    chain.host('a').flow({ ...flow, ...during('first'), side: 'active', process: '' });
    chain.host('a').flow({ ...flow, ...during('second'), side: 'active', process: 'a' });
    assert.deepEqual(changes(await diff(await world(...chain.hosts.values()))), [
      'gone 10.0.0.1 > b unproven',
      'new a > b unproven',
    ]);
  });
});
