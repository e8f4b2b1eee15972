/**
 * A fleet of real programs, one agent a host, one CMDB: what its two halves of each connection add up
 * to, and the questions that go over several hosts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EdgeJson, GraphJson, NodeJson } from '../support/commands.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';
import { Chain, edge, expectEdges, namedEdges, POOL, PORTS, UNWATCHED, WATCHED } from './chain.ts';

const REQUESTS = 200;
const FROM_PLAIN = 7;
const TO_PLAIN = 5;
/** Of each of the two ranges that are compared. */
const REQUESTS_AGAIN = 20;

/** Short buckets and intervals, so that ranges of seconds can be told apart. */
const AGENT = [
  ...['--bucket', '1s', '--flush-interval', '500ms', '--reconcile-interval', '1s'],
  ...['--mode', 'stream'],
];

interface DiffJson {
  readonly nodes: readonly NodeJson[];
  readonly edges: readonly (EdgeJson & {
    readonly change: string;
    readonly watched: boolean;
    readonly reattributed: boolean;
  })[];
}

const now = (): string => new Date().toISOString();
/** Long enough for what was written to be in, and for a bucket to end. */
const settle = (): Promise<void> => sleep(3_000);

describe('a fleet, streamed', { skip: SKIP_UNLESS_ROOT }, () => {
  let chain: Chain;
  /** Ends of `HOST/PROCESS`, of the host without an agent. */
  let plain: string;

  before(async () => {
    chain = await Chain.start();
    plain = `?/${chain.address(UNWATCHED)}`;
    await chain.fleet.startAgents(WATCHED, AGENT);
  });
  after(() => chain?.fleet.stop());

  const target = (host: keyof typeof PORTS): string => `${chain.address(host)}:${PORTS[host]}`;

  it('has every edge from both ends, with exact counts and the right processes', async () => {
    const { port, fd } = await chain.plain.listen(chain.address(UNWATCHED));
    await Promise.all([
      chain.request('client', REQUESTS),
      chain.request(UNWATCHED, FROM_PLAIN),
      chain.plain.do(`serve ${fd} ${TO_PLAIN} 7`),
      chain.client.do(`churn ${chain.address(UNWATCHED)} ${port} ${TO_PLAIN} 11`),
    ]);
    const requests = REQUESTS + FROM_PLAIN;
    assert.deepEqual(await chain.appStats(), { requests, connections: requests, looks: 0 });
    assert.equal(await chain.database.connections(), POOL);
    await expectEdges(chain.fleet, [
      edge('client/curl', 'web/nginx', PORTS.web, REQUESTS),
      edge('web/nginx', 'app/node', PORTS.app, requests),
      edge('app/node', 'db/postgres', PORTS.db, POOL, { open: POOL }),
      edge(plain, 'web/nginx', PORTS.web, FROM_PLAIN, { seenBy: 'passive' }),
      edge('client/tcp-actor', plain, port, TO_PLAIN, { seenBy: 'active' }),
    ]);
  });

  it('knows nothing of the process and the host where no agent is', async () => {
    const { nodes } = await chain.fleet.json<GraphJson>('flows');
    const strangers = nodes.filter(({ addresses }) => addresses.includes(chain.address(UNWATCHED)));
    assert.deepEqual(
      strangers.map(({ host, process }) => [host, process]),
      [[null, null]],
    );
  });

  it('has of each agent the sockets of its own namespace only', async () => {
    const rows = await chain.fleet.query<{ name: string; local: string }>(
      `SELECT DISTINCT h.name, CASE f.side WHEN 'A' THEN f.active_address ELSE f.passive_address
         END AS local
       FROM flows f JOIN hosts h ON h.host_id = f.host_id ORDER BY 1`,
    );
    const expected = ['app', 'client', 'db', 'web'].map((name) => [name, chain.address(name)]);
    assert.deepEqual(
      rows.map(({ name, local }) => [name, local.replace(/\/.*$/, '')]),
      expected,
    );
  });

  it('counts everything and misses nothing it knows of', async () => {
    const { coverage } = await chain.fleet.json<{
      coverage: { host: string; lost: number; missedProbes: number; gap: boolean }[];
    }>('coverage');
    assert.deepEqual(
      coverage.map(({ host, lost, missedProbes, gap }) => ({ host, lost, missedProbes, gap })),
      WATCHED.toSorted().map((host) => ({ host, lost: 0, missedProbes: 0, gap: false })),
    );
  });

  it('impact: who depends on the database, by hops', async () => {
    const { nodes } = await chain.fleet.json<{
      nodes: (NodeJson & { depth: number; uncertain: boolean })[];
    }>('impact', target('db'));
    assert.deepEqual(
      nodes.map(({ depth, host, process, uncertain }) => [depth, host, process, uncertain]).sort(),
      [
        [0, 'db', 'postgres', false],
        [1, 'app', 'node', false],
        [2, 'web', 'nginx', false],
        [3, 'client', 'curl', false],
        [3, null, null, false],
        // Nobody knows whether what it calls there is what calls nginx from there.
        [4, 'client', 'tcp-actor', true],
      ].sort(),
    );
  });

  it('path: the way from the client to the database, and none back', async () => {
    const found = await chain.fleet.json<
      GraphJson & { paths: { hops: number; uncertain: boolean; nodes: string[] }[] }
    >('path', 'process:curl', target('db'));
    const names = new Map(found.nodes.map(({ id, host, process }) => [id, `${host}/${process}`]));
    assert.deepEqual(
      found.paths.map(({ hops, uncertain, nodes }) => ({
        hops,
        uncertain,
        nodes: nodes.map((id) => names.get(id)),
      })),
      [
        {
          hops: 3,
          uncertain: false,
          nodes: ['client/curl', 'web/nginx', 'app/node', 'db/postgres'],
        },
      ],
    );
    const back = await chain.fleet.ttctl('path', target('db'), 'process:curl');
    assert.equal(back.code, 1, back.stdout);
  });

  it('diff: shows a new dependency, that one alone, and fails only when told to', async () => {
    await settle();
    const start = now();
    await chain.request('client', REQUESTS_AGAIN);
    await settle();
    const before = `${start}..${now()}`;
    await settle();
    const changed = now();
    await chain.app.do(`cache ${chain.address('cache')} ${PORTS.cache}`);
    await chain.request('client', REQUESTS_AGAIN);
    await settle();
    assert.equal((await chain.appStats()).looks, REQUESTS_AGAIN);
    assert.equal(await chain.cache.one('stats'), REQUESTS_AGAIN);
    const ranges = ['--before', before, '--after', `${changed}..${now()}`];
    const diff = await chain.fleet.json<DiffJson>('diff', ...ranges);
    assert.deepEqual(namedEdges(diff), [
      edge('app/node', 'cache/node', PORTS.cache, REQUESTS_AGAIN),
    ]);
    assert.deepEqual(
      diff.edges.map(({ change, watched, reattributed }) => ({ change, watched, reattributed })),
      [{ change: 'new', watched: true, reattributed: false }],
    );
    assert.equal((await chain.fleet.ttctl('diff', ...ranges)).code, 0);
    assert.equal((await chain.fleet.ttctl('diff', ...ranges, '--fail-on', 'gone,failed')).code, 0);
    assert.equal((await chain.fleet.ttctl('diff', ...ranges, '--fail-on', 'new')).code, 1);
  });

  it('retire: an unused listener may go only if it was watched', async () => {
    const idle = chain.fleet.keep(chain.fleet.host('db').actor(), (actor) => actor.end());
    const started = now();
    const { port } = await idle.listen(chain.address('db'));
    await settle();
    const question = ['retire', `${chain.address('db')}:${port}`];
    const watched = await chain.fleet.ttctl(...question, '--since', started);
    assert.equal(watched.code, 0, watched.stdout + watched.stderr);
    assert.match(watched.stdout, /^NOT IN USE/m);
    const longer = await chain.fleet.ttctl(...question, '--since', '1h');
    assert.equal(longer.code, 1, longer.stdout);
    assert.doesNotMatch(longer.stdout, /^NOT IN USE/m);
    const used = await chain.fleet.ttctl('retire', target('db'), '--since', started);
    assert.equal(used.code, 1, used.stdout);
  });
});
