/**
 * A host whose agent is killed for a while: the answers say that nobody watched it then; or, where
 * its programs stayed in the kernel, nothing is missing.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Actor } from '../support/actor.ts';
import type { LogLine } from '../support/commands.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';
import { Chain, edge, expectEdges, POOL, PORTS, WATCHED } from './chain.ts';

const REQUESTS = 10;
const AGENT = [
  ...['--bucket', '1s', '--flush-interval', '500ms', '--reconcile-interval', '1s'],
  ...['--mode', 'stream'],
];
const DOWN_MS = 5_000;

const isAttached = ({ msg }: LogLine): boolean => msg === 'attached';

interface Coverage {
  readonly coverage: readonly { host: string; from: string; to: string; gap: boolean }[];
}

// Without pins nothing of an agent outlives it, so what it did not see nobody did.
describe('a host whose agent is killed for a while', { skip: SKIP_UNLESS_ROOT }, () => {
  let chain: Chain;
  let idle: Actor;
  let idlePort: number;
  let start: string;
  let killedAt: string;
  let deadAt: string;
  let restartedAt: string;

  before(async () => {
    chain = await Chain.start();
    await chain.fleet.startAgents(WATCHED, AGENT);
    idle = chain.fleet.keep(chain.fleet.host('app').actor(), (it) => it.end());
    idlePort = (await idle.listen(chain.address('app'))).port;
    await sleep(3_000);
    start = new Date().toISOString();
    await chain.request('client', REQUESTS);
    await sleep(3_000);
    killedAt = new Date().toISOString();
    await chain.fleet.host('app').killAgent();
    deadAt = new Date().toISOString();
    await sleep(1_500);
    await chain.request('client', REQUESTS);
    await sleep(DOWN_MS);
    restartedAt = new Date().toISOString();
    await chain.fleet.host('app').startAgent(AGENT);
    await sleep(3_000);
    await chain.request('client', REQUESTS);
    await sleep(3_000);
  });
  after(() => chain?.fleet.stop());

  it('has what was seen from either end, and nothing twice', async () => {
    await expectEdges(
      chain.fleet,
      [
        edge('client/curl', 'web/nginx', PORTS.web, 3 * REQUESTS),
        edge('web/nginx', 'app/node', PORTS.app, 3 * REQUESTS),
        edge('app/node', 'db/postgres', PORTS.db, POOL, { open: POOL }),
      ],
      ...['--since', start],
    );
  });

  it('has a hole in the coverage of that host, and of no other', async () => {
    const { coverage } = await chain.fleet.json<Coverage>('coverage', '--since', start);
    const inside = coverage.filter(
      ({ from, to, gap }) => !gap && to > deadAt && from < restartedAt,
    );
    assert.deepEqual(
      [...new Set(inside.map(({ host }) => host))].sort(),
      WATCHED.filter((name) => name !== 'app').sort(),
    );
  });

  it('every answer that rests on it says when it was not watched', async () => {
    const time = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ`;
    const hole = new RegExp(`^# app: watched .*; not watched (${time}) to (${time})$`, 'm');
    const questions = [
      ['deps', `${chain.address('app')}:${PORTS.app}`],
      ['impact', `${chain.address('db')}:${PORTS.db}`],
      ['path', 'process:curl', `${chain.address('db')}:${PORTS.db}`],
      ['retire', `${chain.address('app')}:${idlePort}`],
    ];
    for (const question of questions) {
      const { stdout } = await chain.fleet.ttctl(...question, '--since', start);
      const [, from = '', to = ''] = hole.exec(stdout) ?? [];
      assert.notEqual(from, '', `${question.join(' ')}\n${stdout}`);
      const [fromMs, toMs] = [Date.parse(from), Date.parse(to)];
      // The last report before the kill, and the first watching after it; told to the second.
      assert.ok(fromMs > Date.parse(killedAt) - 3_000 && fromMs <= Date.parse(deadAt), from);
      assert.ok(toMs > Date.parse(restartedAt) - 1_000, to);
    }
  });

  it('nothing is said to be unused on account of a time that nobody watched', async () => {
    const question = ['retire', `${chain.address('app')}:${idlePort}`];
    const over = await chain.fleet.ttctl(...question, '--since', start);
    assert.equal(over.code, 1, over.stdout);
    const since = new Date(Date.parse(restartedAt) + 4_000).toISOString();
    const watched = await chain.fleet.ttctl(...question, '--since', since);
    assert.equal(watched.code, 0, watched.stdout);
  });

  it('in that time the edges are those that the other ends saw', async () => {
    // No bucket of before or after reaches into this range.
    const since = new Date(Date.parse(deadAt) + 1_200).toISOString();
    const until = new Date(Date.parse(restartedAt) - 1_200).toISOString();
    await expectEdges(
      chain.fleet,
      [
        edge('client/curl', 'web/nginx', PORTS.web, REQUESTS),
        edge('web/nginx', 'app/node', PORTS.app, REQUESTS, { seenBy: 'active' }),
        edge('app/null', 'db/postgres', PORTS.db, POOL, { open: POOL, seenBy: 'passive' }),
      ],
      ...['--since', since, '--until', until],
    );
  });
});

describe('a host whose agent is killed but pinned', { skip: SKIP_UNLESS_ROOT }, () => {
  let chain: Chain;
  let start: string;

  before(async () => {
    chain = await Chain.start();
    await chain.fleet.startAgents(WATCHED, AGENT, { pin: true });
    await sleep(3_000);
    start = new Date().toISOString();
    await chain.request('client', REQUESTS);
    await sleep(3_000);
    await chain.fleet.host('app').killAgent();
    await chain.request('client', REQUESTS);
    await chain.fleet.host('app').startAgent(AGENT, { pin: true });
    await chain.request('client', REQUESTS);
  });
  after(() => chain?.fleet.stop());

  it('has counted meanwhile, its own namespace only', async () => {
    assert.equal(chain.fleet.host('app').agent.log.find(isAttached)?.['adopted'], true);
    await expectEdges(
      chain.fleet,
      [
        edge('client/curl', 'web/nginx', PORTS.web, 3 * REQUESTS),
        edge('web/nginx', 'app/node', PORTS.app, 3 * REQUESTS),
        edge('app/node', 'db/postgres', PORTS.db, POOL, { open: POOL }),
      ],
      ...['--since', start],
    );
    const rows = await chain.fleet.query<{ name: string; opened: number }>(
      `SELECT h.name, sum(f.opened)::int AS opened FROM flow_history f
       JOIN hosts h ON h.host_id = f.host_id
       WHERE (f.host_id, f.flow_id) IN
         (SELECT host_id, flow_id FROM flows WHERE side = 'P' AND passive_port = ${PORTS.app})
       GROUP BY 1`,
    );
    assert.deepEqual(rows, [{ name: 'app', opened: 3 * REQUESTS }]);
  });

  it('was watched all the time', async () => {
    const { stdout } = await chain.fleet.ttctl(
      ...['impact', `${chain.address('db')}:${PORTS.db}`, '--since', start],
    );
    assert.match(stdout, /^# 4 of 4 hosts watched throughout the range$/m);
  });
});
