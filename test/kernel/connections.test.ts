/** What the helper says of real sockets, on each rung that runs natively. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { Namespace, SILENT_ADDRESS } from '../support/namespace.ts';
import { freePort } from '../support/nginx.ts';
import { runOk, SKIP_UNLESS_ROOT } from '../support/run.ts';
import { type End, NATIVE_RUNGS, type NativeRung, rungName, Tracer } from '../support/tracer.ts';

const LOOPBACK = '127.0.0.1';

const NONE = { refused: 0, timedOut: 0, unreachable: 0, failedOther: 0 };

function failures({ refused, timedOut, unreachable, failedOther }: End): typeof NONE {
  return { refused, timedOut, unreachable, failedOther };
}

function failed(end: End): number {
  return Object.values(failures(end)).reduce((sum, count) => sum + count, 0);
}

function declareSuite(rung: NativeRung): void {
  const streams = rung === 'tracepoint';
  let tracer: Tracer;
  let cleanup: Cleanup;
  before(async () => {
    tracer = await Tracer.start(NATIVE_RUNGS[rung]);
  });
  after(() => tracer.stop());
  beforeEach(() => {
    cleanup = new Cleanup();
  });
  afterEach(() => cleanup.run());

  const actor = (wrapper: readonly string[] = []) =>
    cleanup.keep(new Actor({ wrapper }), (it) => it.end());
  const active = (port: number) => tracer.end('active', port);
  const passive = (port: number) => tracer.end('passive', port);
  /** A report with byte counts, which not every poll asks for where the host has many sockets. */
  const detailedReport = () => tracer.report('snapshot', !streams);

  /** A listener and one connection to it, accepted. */
  const openPair = async (address = LOOPBACK, connectTo = address) => {
    const [server, client] = [actor(), actor()];
    const { fd, port } = await server.listen(address);
    const mine = await client.one(`connect ${connectTo} ${port}`);
    const theirs = await server.one(`accept ${fd}`);
    return { server, client, listener: fd, port, mine, theirs };
  };
  const untilClosed = (port: number, count = 1) =>
    tracer.until(
      () => active(port).closed === count && passive(port).closed === count,
      `${count} closed at both ends of port ${port}`,
    );

  /** Received payload; netlink counts the peer's FIN too where one came. */
  const assertReceived = (end: End, payload: number) => {
    const most = streams ? payload : payload + end.connections;
    const { bytesReceived } = end;
    assert.ok(bytesReceived >= payload && bytesReceived <= most, `${bytesReceived} for ${payload}`);
  };

  /** Every connection has this owner; where a notice is all there was, none. */
  const assertOwner = (end: End, pid: number) => {
    if (streams) assert.deepEqual([...end.byPid], [[pid, end.connections]]);
    else for (const owner of end.byPid.keys()) assert.ok([0, pid].includes(owner));
  };

  it('is on the rung that was asked for', () => {
    assert.equal(tracer.greeting.hello.rung, rungName(rung));
  });

  for (const address of [LOOPBACK, '::1']) {
    it(`counts 1,000 quick connections exactly: ${address}`, async () => {
      const [COUNT, CLIENTS] = [1_000, 4];
      const server = actor();
      const clients = Array.from({ length: CLIENTS }, () => actor());
      const { fd, port } = await server.listen(address);
      const each = COUNT / CLIENTS;
      await Promise.all([
        server.do(`serve ${fd} ${COUNT} 21`),
        ...clients.map((client) => client.do(`churn ${address} ${port} ${each} 13`)),
      ]);
      await untilClosed(port, COUNT);
      const [mine, theirs] = [active(port), passive(port)];
      assert.equal(mine.connections, COUNT);
      assert.equal(theirs.connections, COUNT);
      assert.equal(failed(mine) + failed(theirs), 0);
      assert.equal(mine.bytesSent, 13 * COUNT);
      assert.equal(theirs.bytesSent, 21 * COUNT);
      assertReceived(mine, 21 * COUNT);
      assertReceived(theirs, 13 * COUNT);
      assert.deepEqual(mine.local, [address]);
      assert.deepEqual(theirs.local, [address]);
      assertOwner(theirs, server.pid);
      if (streams) {
        for (const client of clients) assert.equal(mine.byPid.get(client.pid), each);
        assert.equal(mine.byPid.size, CLIENTS);
      }
    });
  }

  it('reports IPv4 in IPv6 sockets as IPv4, at both ends', async () => {
    const { port } = await openPair('::', `::ffff:${LOOPBACK}`);
    await tracer.until(() => passive(port).connections === 1, 'the connection');
    assert.deepEqual(active(port).local, [LOOPBACK]);
    assert.deepEqual(passive(port).local, [LOOPBACK]);
  });

  it('tells owners of open connections, and counts them once over many snapshots', async () => {
    const { server, client, port } = await openPair();
    for (let i = 0; i < 3; i++) await tracer.report();
    assert.deepEqual([...active(port).byPid], [[client.pid, 1]]);
    assert.deepEqual([...passive(port).byPid], [[server.pid, 1]]);
    assert.equal(active(port).closed, 0);
  });

  it('counts the bytes of an open connection as they flow', async () => {
    const { server, client, port, mine, theirs } = await openPair();
    for (const total of [500, 1_000]) {
      await client.do(`send ${mine} 500`);
      await server.do(`receive ${theirs} 500`);
      await server.do(`send ${theirs} 70`);
      await client.do(`receive ${mine} 70`);
      await detailedReport();
      assert.equal(active(port).bytesSent, total);
      assert.equal(passive(port).bytesReceived, total);
      assert.equal(passive(port).bytesSent, (total / 500) * 70);
      assert.equal(active(port).bytesReceived, (total / 500) * 70);
    }
  });

  it('tells a refused connect', async () => {
    const port = await freePort();
    const client = actor();
    const fd = await client.one(`begin ${LOOPBACK} ${port}`);
    assert.equal(await client.fail(`finish ${fd}`), 'ECONNREFUSED');
    await client.do(`close ${fd}`);
    await tracer.until(() => failed(active(port)) > 0, 'the failure');
    const { refused, connections, closed } = active(port);
    assert.deepEqual([refused, connections, closed], [1, 0, 0]);
    assert.equal(failed(active(port)), 1);
    assert.equal(passive(port).connections, 0);
  });

  it('tells connects that time out, are given up, and reach nobody', async () => {
    const namespace = cleanup.keep(await Namespace.create(), (it) => it.delete());
    await namespace.addSilentPeer();
    await tracer.report(); // a poller learns of a namespace by its next snapshot
    const [command = '', ...argv] = [...namespace.wrapper, 'sh', '-c'];
    const settings = `cd /proc/sys/net/ipv4; echo 1 >tcp_syn_retries
      echo 100 >neigh/near/retrans_time_ms; echo 1 >neigh/near/mcast_solicit`;
    await runOk(command, [...argv, settings]);
    const [timing, leaving, lost] = Array.from({ length: 3 }, () => actor(namespace.wrapper));
    assert.ok(timing && leaving && lost);
    const absent = SILENT_ADDRESS.replace(/\d+$/, '77');
    const [timed, left, gone] = await Promise.all([
      timing.one(`begin ${SILENT_ADDRESS} 2001`),
      leaving.one(`begin ${SILENT_ADDRESS} 2002`),
      lost.one(`begin ${absent} 2003`),
    ]);
    await leaving.do(`close ${left}`);
    // The error is there a moment before the socket is closed: who asks just then takes it away.
    if (streams) await tracer.until(() => failed(active(2003)) === 1, 'the failure');
    assert.equal(await lost.fail(`finish ${gone}`), 'EHOSTUNREACH');
    await lost.do(`close ${gone}`);
    assert.equal(await timing.fail(`finish ${timed}`), 'ETIMEDOUT');
    await timing.do(`close ${timed}`);
    const ports = [2001, 2002, 2003];
    await tracer.until(() => ports.every((port) => failed(active(port)) === 1), 'three failures');
    for (const port of ports) assert.equal(active(port).connections, 0);
    assert.deepEqual(failures(active(2001)), { ...NONE, timedOut: 1 });
    assert.deepEqual(failures(active(2002)), { ...NONE, failedOther: 1 });
    if (streams) assert.deepEqual(failures(active(2003)), { ...NONE, unreachable: 1 });
  });

  it('counts a connect that did not wait', async () => {
    const [server, client] = [actor(), actor()];
    const { fd, port } = await server.listen(LOOPBACK);
    const mine = await client.one(`begin ${LOOPBACK} ${port}`);
    await client.do(`finish ${mine}`);
    await server.do(`accept ${fd}`);
    await tracer.until(() => passive(port).connections === 1, 'the connection');
    assert.deepEqual([...active(port).byPid], [[client.pid, 1]]);
  });

  it('does not take what waits in an accept queue for accepted', async () => {
    const [server, client] = [actor(), actor()];
    const { fd, port } = await server.listen(LOOPBACK);
    await client.do(`connect ${LOOPBACK} ${port}`);
    await client.do(`connect ${LOOPBACK} ${port}`);
    await tracer.report();
    await tracer.report();
    assert.equal(active(port).connections, 2);
    assert.equal(passive(port).connections, 0);
    await server.do(`accept ${fd}`);
    await tracer.report();
    assert.deepEqual([...passive(port).byPid], [[server.pid, 1]]);
    await server.end(); // with one that never was accepted
    await client.end();
    await tracer.until(() => active(port).closed === 2, 'both closed');
    // That a socket had a file is nothing that netlink tells when it is gone.
    if (streams) assert.equal(passive(port).connections, 1);
  });

  it('counts what its owners leave open when they exit', async () => {
    const { server, client, port, mine, theirs } = await openPair();
    await client.do(`send ${mine} 5`);
    await server.do(`receive ${theirs} 5`);
    await Promise.all([client.end(), server.end()]);
    await untilClosed(port);
    assert.equal(active(port).connections, 1);
    assert.equal(passive(port).connections, 1);
    assert.equal(active(port).bytesSent, 5);
    // Nobody looked while they lived; an exiting process cannot be named by its close.
    for (const end of [active(port), passive(port)]) {
      for (const pid of end.byPid.keys()) assert.ok([0, client.pid, server.pid].includes(pid));
    }
  });

  for (const side of ['active', 'passive'] as const) {
    it(`counts a connection that the ${side} side resets`, async () => {
      const { server, client, port, mine, theirs } = await openPair();
      await client.do(`send ${mine} 8`);
      await server.do(`receive ${theirs} 8`);
      // tcp_disconnect() wipes the peer's port before the notice is made: without a snapshot of it
      // before, the end that resets is not seen.
      if (!streams) await detailedReport();
      if (side === 'active') {
        await client.do(`reset ${mine}`);
        await server.fail(`receive ${theirs}`);
        await server.do(`close ${theirs}`);
      } else {
        await server.do(`reset ${theirs}`);
        await client.fail(`receive ${mine}`);
        await client.do(`close ${mine}`);
      }
      await untilClosed(port);
      assert.equal(active(port).connections, 1);
      assert.equal(passive(port).connections, 1);
      assert.equal(failed(active(port)), 0);
      assert.equal(active(port).bytesSent, 8);
      assert.equal(passive(port).bytesReceived, 8);
    });
  }

  it('attributes to the worker that accepted, not to the master that listens', async () => {
    const [master, client] = [actor(), actor()];
    const { fd, port } = await master.listen(LOOPBACK);
    const connections = [0, 1].map(() => client.one(`connect ${LOOPBACK} ${port}`));
    await Promise.all(connections);
    const workers = [await master.one(`fork accept ${fd}`), await master.one(`fork accept ${fd}`)];
    await tracer.report('snapshot', true);
    assert.deepEqual(
      [...passive(port).byPid].sort(([a], [b]) => a - b),
      workers.sort((a, b) => a - b).map((pid) => [pid, 1]),
    );
    const owners = tracer.listeners.filter((listener) => listener.port === port);
    assert.deepEqual(
      owners.map((owner) => owner.tgid).sort((a, b) => a - b),
      [master.pid, ...workers].sort((a, b) => a - b),
    );
  });

  it('counts an inherited connection once, and closed when the last holder closes it', async () => {
    const [server, client] = [actor(), actor()];
    const { fd, port } = await server.listen(LOOPBACK);
    const mine = await client.one(`connect ${LOOPBACK} ${port}`);
    const theirs = await server.one(`accept ${fd}`);
    const child = await client.one(`fork send ${mine} 9`);
    await server.do(`receive ${theirs} 9`);
    await client.do(`close ${mine}`);
    await tracer.report();
    await tracer.report();
    assert.equal(active(port).connections, 1);
    assert.equal(active(port).closed, 0);
    await client.do(`kill ${child}`);
    await server.do(`receive ${theirs}`);
    await server.do(`close ${theirs}`);
    await untilClosed(port);
    assert.equal(active(port).connections, 1);
    assert.equal(active(port).bytesSent, 9);
  });

  it('counts a connection that was handed to another process once', async () => {
    const { server, client, port, mine, theirs } = await openPair();
    await tracer.report();
    const other = actor();
    const taken = await other.one(`take ${client.pid} ${mine}`);
    await client.do(`close ${mine}`);
    await other.do(`send ${taken} 6`);
    await server.do(`receive ${theirs} 6`);
    await detailedReport();
    assert.deepEqual([...active(port).byPid], [[client.pid, 1]]); // who opened it
    assert.equal(active(port).closed, 0);
    assert.equal(active(port).bytesSent, 6);
    await other.do(`close ${taken}`);
    await server.do(`close ${theirs}`);
    await untilClosed(port);
    assert.equal(active(port).connections, 1);
  });

  it('knows the direction of connections whose listener is gone', async () => {
    const { server, client, listener, port } = await openPair();
    await server.do(`close ${listener}`);
    const late = await Tracer.start(NATIVE_RUNGS[rung]);
    try {
      assert.deepEqual([...late.end('active', port).byPid], [[client.pid, 1]]);
      assert.deepEqual([...late.end('passive', port).byPid], [[server.pid, 1]]);
      assert.deepEqual(late.end('active', port).foundBy, ['snapshot']);
      assert.equal(late.end('unknown', port).connections, 0);
    } finally {
      await late.stop();
    }
  });

  it('is not misled by a connect that failed from the port of another', async () => {
    const [server, client] = [actor(), actor()];
    const closed = await freePort();
    const { fd, port } = await server.listen(LOOPBACK);
    // Below the ports that the kernel chooses from, where nobody has listened lately.
    const from = 20_000 + (process.pid % 10_000);
    assert.equal(await client.fail(`connect ${LOOPBACK} ${closed} ${from}`), 'ECONNREFUSED');
    const mine = await client.one(`connect ${LOOPBACK} ${port} ${from}`);
    const theirs = await server.one(`accept ${fd}`);
    await client.do(`close ${mine}`);
    await server.do(`close ${theirs}`);
    await untilClosed(port);
    assert.equal(active(port).connections, 1);
    assert.equal(passive(from).connections, 0);
  });

  it('sees who begins to listen, and who ceases', {
    skip: streams ? false : 'told by snapshots',
  }, async () => {
    const server = actor();
    const { fd, port } = await server.listen(LOOPBACK);
    await server.do(`close ${fd}`);
    await tracer.report('drain');
    const told = tracer.listens.filter((listen) => listen.port === port);
    assert.deepEqual(
      told.map(({ change, local, identity }) => [change, local, identity?.tgid]),
      [
        ['opened', LOOPBACK, server.pid],
        ['closed', LOOPBACK, undefined],
      ],
    );
  });
}

for (const rung of Object.keys(NATIVE_RUNGS) as NativeRung[]) {
  describe(`connections, ${rung}`, { skip: SKIP_UNLESS_ROOT }, () => declareSuite(rung));
}
