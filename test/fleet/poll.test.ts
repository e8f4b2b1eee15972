/** The same fleet, polled: every connection that lives longer than the interval is known from both ends. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoverageJson } from '../support/commands.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';
import { Chain, edge, expectEdges, POOL, PORTS, UNWATCHED, WATCHED } from './chain.ts';

const REQUESTS = 20;
const FROM_PLAIN = 3;
const TO_PLAIN = 2;
/** How long the app takes to answer: the connections on the way to it live as long. */
const ANSWER_MS = 3_000;

const AGENT = [
  ...['--mode', 'poll', '--poll-interval', '1s'],
  ...['--flush-interval', '1s', '--reconcile-interval', '5s'],
];

describe('a fleet, polled', { skip: SKIP_UNLESS_ROOT }, () => {
  let chain: Chain;

  before(async () => {
    chain = await Chain.start();
    await chain.fleet.startAgents(WATCHED, AGENT);
  });
  after(() => chain?.fleet.stop());

  it('has every edge from both ends, with exact counts and the right processes', async () => {
    const plain = chain.address(UNWATCHED);
    const { port } = await chain.plain.listen(plain);
    for (let count = 0; count < TO_PLAIN; count++)
      await chain.client.do(`connect ${plain} ${port}`);
    const one = (host: string): Promise<void> => chain.request(host, 1, `?ms=${ANSWER_MS}`);
    await Promise.all([
      ...Array.from({ length: REQUESTS }, () => one('client')),
      ...Array.from({ length: FROM_PLAIN }, () => one(UNWATCHED)),
    ]);
    const requests = REQUESTS + FROM_PLAIN;
    assert.deepEqual(await chain.appStats(), { requests, connections: requests, looks: 0 });
    assert.equal(await chain.database.connections(), POOL);
    await expectEdges(chain.fleet, [
      edge('client/curl', 'web/nginx', PORTS.web, REQUESTS),
      edge('web/nginx', 'app/node', PORTS.app, requests),
      edge('app/node', 'db/postgres', PORTS.db, POOL, { open: POOL }),
      edge(`?/${plain}`, 'web/nginx', PORTS.web, FROM_PLAIN, { seenBy: 'passive' }),
      edge('client/tcp-actor', `?/${plain}`, port, TO_PLAIN, { open: TO_PLAIN, seenBy: 'active' }),
    ]);
  });

  it('says how it watched, and that nothing was missed', async () => {
    await sleep(1_500);
    const { coverage } = await chain.fleet.json<CoverageJson>('coverage');
    assert.deepEqual(
      coverage.map(({ mode, attach, lost, gap }) => ({ mode, attach, lost, gap })),
      WATCHED.map(() => ({ mode: 'poll', attach: null, lost: 0, gap: false })),
    );
  });
});
