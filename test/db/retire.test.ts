import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type pg from 'pg';
import { queryRetirement, type Retirement } from '../../src/query/retire.ts';
import { parseTarget } from '../../src/query/target.ts';
import { PLAIN } from '../../src/render/palette.ts';
import { renderRetirement } from '../../src/render/retire-text.ts';
import { withClient } from '../support/postgres.ts';
import { Chain } from './chain.ts';
import { at } from './query-world.ts';
import { useWorlds } from './worlds.ts';

const worlds = useWorlds();

const RANGE = { since: at(0), until: at(100) };

const world = (chain: Chain): Promise<pg.ClientConfig> => worlds(...chain.hosts.values());

async function retire(chain: Chain, target: string, range = RANGE): Promise<Retirement> {
  const config = await world(chain);
  const found = await withClient(config, (client) =>
    queryRetirement(client, parseTarget(target), range),
  );
  return found ?? assert.fail('no such target');
}

const text = (found: Retirement): string => renderRetirement(found, at(100), PLAIN);

describe('retire', () => {
  it('is fine with what nobody used while it was watched', async () => {
    const found = await retire(new Chain(['db', 'app']), '10.0.0.1:80');
    assert.equal(found.verdict, 'unused');
    assert.equal(found.lastUse, null);
    assert.deepEqual(found.longestSilence, { from: at(0), to: at(100) });
    assert.match(text(found), /^NOT IN USE in this range, and watched throughout$/m);
    assert.match(text(found), /^last use: none known$/m);
    const none = await withClient(await world(new Chain(['db'])), (client) =>
      queryRetirement(client, parseTarget(':81'), RANGE),
    );
    assert.equal(none, null);
  });

  it('knows a listener that was last written before a short range began', async () => {
    const chain = new Chain(['db', 'app']);
    const short = { since: at(120.5), until: at(121) };
    assert.equal((await retire(chain, '10.0.0.1:80', short)).edges.length, 0);
    const config = await world(chain);
    const later = { since: at(123), until: at(124) };
    const gone = await withClient(config, (client) =>
      queryRetirement(client, parseTarget('10.0.0.1:80'), later),
    );
    assert.equal(gone, null);
  });

  it('tells of uses, silence, and what is open', async () => {
    const chain = new Chain(['db', 'app']).connect('app', 'db', {
      firstSeen: at(10),
      lastSeen: at(72),
      buckets: [
        { at: 10, opened: 2 },
        { at: 70, opened: 1, openNow: 1 },
      ],
    });
    const found = await retire(chain, '10.0.0.1:80');
    assert.equal(found.verdict, 'in use');
    assert.deepEqual(found.lastUse, at(72));
    assert.equal(found.open, 1n);
    assert.deepEqual(found.longestSilence, { from: at(15), to: at(70) });
    assert.match(text(found), /^IN USE: 3 connections in this range, 1 open now$/m);
    assert.match(text(found), /^last use: 28m ago \(2025-06-01 13:12:00Z\)$/m);
    assert.match(text(found), /^└<-- 10\.0\.0\.2:many \('app', pgid=100\) .*, to 10\.0\.0\.1:80$/m);
    assert.doesNotMatch(text(found), /REGULAR/);
  });

  it('says when it was last used before the range, and cuts buckets by that', async () => {
    const chain = new Chain(['db', 'app']).connect('app', 'db', {
      firstSeen: at(10),
      lastSeen: at(11),
      buckets: [{ at: 10, opened: 2 }],
    });
    const found = await retire(chain, 'process:db', { since: at(12), until: at(100) });
    assert.equal(found.verdict, 'unused');
    assert.deepEqual(found.lastUse, at(11));
    assert.match(text(found), /^last use: 1h29m ago .*, before this range$/m);
  });

  it('does not know of what was not watched throughout, or where events were lost', async () => {
    for (const gap of [
      { from: at(0), to: at(50) },
      { from: at(-10), to: at(120), lost: 3n },
    ]) {
      const chain = new Chain(['db'], false);
      chain.host('db').covered(gap);
      const found = await retire(chain, 'process:db');
      assert.equal(found.verdict, 'unknown');
      assert.match(text(found), /^NOT KNOWN: .*\n[\s\S]*^# h-db: watched /m);
    }
    const agentless = new Chain(['app', 'db?']).fail('app', 'db');
    const found = await retire(agentless, '10.0.0.2:80');
    assert.equal(found.verdict, 'unknown');
    assert.match(text(found), /FAILED 3 times/);
    assert.match(text(found), /# no agent there/);
  });

  it('finds callers that come at regular intervals', async () => {
    const starts = (...minutes: number[]) => ({
      firstSeen: at(minutes[0] ?? 0),
      lastSeen: at(minutes.at(-1) ?? 0),
      buckets: minutes.map((minute) => ({ at: minute, opened: 1 })),
    });
    const chain = new Chain(['db', 'cron', 'random'])
      .connect('cron', 'db', starts(5, 25, 45, 65, 85))
      .connect('random', 'db', starts(5, 15, 70, 80));
    const found = await retire(chain, 'process:db');
    assert.deepEqual(
      found.edges.map(({ active, periodMs }) => [active, periodMs]).sort(),
      [
        [chain.node('cron'), 20 * 60_000],
        [chain.node('random'), null],
      ].sort(),
    );
    assert.match(text(found), /'cron'.*REGULAR: every 20m, /);
  });

  it('counts what a process without listener does itself as use', async () => {
    const chain = new Chain(['db', 'app']);
    const worker = { active: chain.address('app'), passive: chain.address('db'), port: 80 };
    chain
      .host('app')
      .process('worker')
      .flow({ ...worker, side: 'active', process: 'worker' });
    const found = await retire(chain, 'process:worker');
    assert.equal(found.verdict, 'in use');
    assert.match(text(found), /^└--> 10\.0\.0\.1:80 \('db', pgid=100\)/m);
    chain.connect('db', 'app', { firstSeen: at(1), lastSeen: at(2) });
    assert.equal((await retire(chain, 'process:app')).verdict, 'in use');
    const listener = await retire(new Chain(['db', 'app']).connect('db', 'app'), 'process:db');
    assert.equal(listener.verdict, 'unused');
  });
});
