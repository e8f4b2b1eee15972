/** Two hosts that swap their addresses: whose an address is depends on when. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { curlMany } from '../support/curl.ts';
import { Fleet, type FleetHost } from '../support/fleet.ts';
import { startNginx } from '../support/nginx.ts';
import { run, SKIP_UNLESS_ROOT } from '../support/run.ts';
import { edge, edgesOf, expectEdges, nodeProgram, sorted } from './chain.ts';

/** What both hosts serve on, and what they connect to. */
const PORT = 80;
const THIRD_PORT = 8_080;
/** Where nobody listens. */
const CLOSED_PORT = 81;
const CURL_REFUSED = 7;
const AGENT = [
  ...['--bucket', '1s', '--flush-interval', '500ms', '--reconcile-interval', '1s'],
  ...['--mode', 'stream'],
];

describe('hosts that swap their addresses', { skip: SKIP_UNLESS_ROOT }, () => {
  let fleet: Fleet;
  let [one, two, third]: FleetHost[] = [];
  /** Ends of the two ranges: well after the last of the first, and well before the next. */
  let until: string;
  let since: string;

  before(async () => {
    fleet = await Fleet.create(['one', 'two', 'third']);
    [one, two, third] = ['one', 'two', 'third'].map((name) => fleet.host(name));
    assert.ok(one && two && third);
    const nginx = await startNginx({ listen: [`0.0.0.0:${PORT}`], wrapper: one.wrapper });
    fleet.keep(nginx, (it) => it.stop());
    const app = fleet.keep(nodeProgram(two, 'app-server'), (it) => it.end());
    await app.do(`listen 0.0.0.0 ${PORT}`);
    const listen = [`${third.address}:${THIRD_PORT}`];
    fleet.keep(await startNginx({ listen, wrapper: third.wrapper }), (it) => it.stop());
    await fleet.startAgents(['one', 'two', 'third'], AGENT);
  });
  after(() => fleet?.stop());

  const settle = (): Promise<void> => sleep(3_000);

  async function request(from: FleetHost, address: string, port: number, count: number) {
    const { requests } = await curlMany(`http://${address}:${port}/`, count, from.wrapper);
    assert.equal(requests, count);
  }

  /** A connect that is refused, by whoever has the address. */
  async function beRefused(from: FleetHost, address: string): Promise<void> {
    const [command = '', ...argv] = [...from.wrapper, 'curl', '-s'];
    const { code } = await run(command, [...argv, `http://${address}:${CLOSED_PORT}/`]);
    assert.equal(code, CURL_REFUSED);
  }

  const refused = (active: string, passive: string) => ({
    ...edge(active, passive, CLOSED_PORT, 0, { seenBy: 'active' }),
    failed: 1,
  });

  it('before: each is who it is', async () => {
    assert.ok(one && two && third);
    await settle(); // the ranges asked for later begin after the agents do
    await request(third, one.address, PORT, 10);
    await request(third, two.address, PORT, 20);
    await request(one, third.address, THIRD_PORT, 3);
    await request(two, third.address, THIRD_PORT, 4);
    await beRefused(third, one.address);
    await expectEdges(fleet, [
      edge('third/curl', 'one/nginx', PORT, 10),
      edge('third/curl', 'two/node', PORT, 20),
      edge('one/curl', 'third/nginx', THIRD_PORT, 3),
      edge('two/curl', 'third/nginx', THIRD_PORT, 4),
      refused('third/curl', 'one/null'),
    ]);
  });

  it('after: the same addresses are the other host, and no edge is left of before', async () => {
    assert.ok(one && two && third);
    const [ofOne, ofTwo] = [one.address, two.address];
    await settle();
    until = new Date().toISOString();
    await sleep(1_500);
    await Promise.all([one, two].map((host) => host.dropAddress()));
    await one.takeAddress(ofTwo);
    await two.takeAddress(ofOne);
    await Promise.all([one, two, third].map((host) => host.forgetNeighbours()));
    await settle();
    since = new Date().toISOString();
    await request(third, two.address, PORT, 30);
    await request(third, one.address, PORT, 40);
    await request(one, third.address, THIRD_PORT, 5);
    await request(two, third.address, THIRD_PORT, 6);
    await beRefused(third, two.address);
    await expectEdges(
      fleet,
      [
        edge('third/curl', 'two/node', PORT, 30),
        edge('third/curl', 'one/nginx', PORT, 40),
        edge('one/curl', 'third/nginx', THIRD_PORT, 5),
        edge('two/curl', 'third/nginx', THIRD_PORT, 6),
        refused('third/curl', 'two/null'),
      ],
      ...['--since', since],
    );
  });

  it('the range before still has what it had', async () => {
    await expectEdges(
      fleet,
      [
        edge('third/curl', 'one/nginx', PORT, 10),
        edge('third/curl', 'two/node', PORT, 20),
        edge('one/curl', 'third/nginx', THIRD_PORT, 3),
        edge('two/curl', 'third/nginx', THIRD_PORT, 4),
        refused('third/curl', 'one/null'),
      ],
      ...['--until', until],
    );
  });

  it('over both ranges each process has what it made and got itself, and nothing more', async () => {
    const edges = await edgesOf(fleet);
    assert.deepEqual(
      edges.filter(({ port }) => port !== CLOSED_PORT),
      sorted([
        edge('third/curl', 'one/nginx', PORT, 10),
        edge('third/curl', 'two/node', PORT, 20),
        edge('third/curl', 'two/node', PORT, 30),
        edge('third/curl', 'one/nginx', PORT, 40),
        edge('one/curl', 'third/nginx', THIRD_PORT, 3),
        edge('one/curl', 'third/nginx', THIRD_PORT, 5),
        edge('two/curl', 'third/nginx', THIRD_PORT, 4),
        edge('two/curl', 'third/nginx', THIRD_PORT, 6),
      ]),
    );
  });
});
