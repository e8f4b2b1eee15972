/** Polling where nothing opens: what is not dumped again, and that nothing is missed by that. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { Namespace, SILENT_ADDRESS } from '../support/namespace.ts';
import { eventually } from '../support/processes.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';
import { Tracer } from '../support/tracer.ts';

const LOOPBACK = '127.0.0.1';
/** As with many sockets: of few the bytes are looked up each time. */
const ARGS = ['--mode', 'poll', '--netns', 'own', '--few-sockets', '1'];

describe('polling a quiet namespace', { skip: SKIP_UNLESS_ROOT }, () => {
  let cleanup: Cleanup;
  let namespace: Namespace;
  let tracer: Tracer;
  beforeEach(async () => {
    cleanup = new Cleanup();
    // Of its own: nobody else opens anything in it.
    namespace = cleanup.keep(await Namespace.create(), (it) => it.delete());
    tracer = cleanup.keep(await Tracer.start(ARGS, namespace.wrapper), (it) => it.stop());
  });
  afterEach(() => cleanup.run());

  const actor = () => cleanup.keep(new Actor({ wrapper: namespace.wrapper }), (it) => it.end());
  const active = (port: number) => tracer.end('active', port);
  const passive = (port: number) => tracer.end('passive', port);

  const openPair = async () => {
    const [server, client] = [actor(), actor()];
    const { fd, port } = await server.listen(LOOPBACK);
    const mine = await client.one(`connect ${LOOPBACK} ${port}`);
    const theirs = await server.one(`accept ${fd}`);
    return { server, client, listener: fd, port, mine, theirs };
  };
  /** A moment after the last connection was opened its sockets have been seen for sure. */
  const untilQuiet = () =>
    eventually(async () => {
      await tracer.report();
      return tracer.sockets === 0;
    });
  const stillLooksAt = async (sockets: number) => {
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      await tracer.report();
      assert.equal(tracer.sockets, sockets);
    }
  };

  it('looks at no connection again, and takes none for closed', async () => {
    const { server, client, port } = await openPair();
    await untilQuiet();
    await stillLooksAt(0);
    assert.deepEqual([...active(port).byPid], [[client.pid, 1]]);
    assert.deepEqual([...passive(port).byPid], [[server.pid, 1]]);
    assert.deepEqual([active(port).closed, passive(port).closed], [0, 0]);
    assert.deepEqual(
      tracer.listeners.map((it) => it.port),
      [port],
    );
  });

  it('finds what opens after it with its process, at the next poll', async () => {
    const { server, client, listener, port } = await openPair();
    for (let count = 2; count < 5; count++) {
      await untilQuiet();
      await client.do(`connect ${LOOPBACK} ${port}`);
      await server.do(`accept ${listener}`);
      await tracer.report();
      assert.deepEqual([...active(port).byPid], [[client.pid, count]]);
      assert.deepEqual([...passive(port).byPid], [[server.pid, count]]);
    }
  });

  it('finds a listener at the next poll', async () => {
    await openPair();
    await untilQuiet();
    const server = actor();
    const { port } = await server.listen(LOOPBACK);
    await tracer.report();
    const owners = tracer.listeners.filter((it) => it.port === port).map((it) => it.tgid);
    assert.deepEqual(owners, [server.pid]);
  });

  it('tells what closes', async () => {
    const { server, client, port, mine, theirs } = await openPair();
    await client.do(`send ${mine} 8`);
    await server.do(`receive ${theirs} 8`);
    await untilQuiet();
    await client.do(`close ${mine}`);
    await server.do(`close ${theirs}`);
    await tracer.until(() => active(port).closed + passive(port).closed === 2, 'both ends closed');
    assert.equal(active(port).bytesSent, 8);
  });

  it('tells that a connection was reset before its owner closes it', async () => {
    const { client, port, mine } = await openPair();
    await untilQuiet();
    await client.do(`reset ${mine}`);
    await tracer.report();
    assert.equal(passive(port).closed, 1);
  });

  it('counts bytes in a snapshot in full', async () => {
    const { server, client, port, mine, theirs } = await openPair();
    await untilQuiet();
    await client.do(`send ${mine} 500`);
    await server.do(`receive ${theirs} 500`);
    await tracer.report('snapshot', true);
    assert.equal(tracer.sockets, 2);
    assert.equal(active(port).bytesSent, 500);
    assert.equal(passive(port).bytesReceived, 500);
  });

  it('looks again while a connection waits to be accepted', async () => {
    const { server, client, listener, port } = await openPair();
    await client.do(`connect ${LOOPBACK} ${port}`);
    await stillLooksAt(4);
    assert.equal(passive(port).connections, 1);
    await server.do(`accept ${listener}`);
    await tracer.report();
    assert.deepEqual([...passive(port).byPid], [[server.pid, 2]]);
  });

  it('looks again while a connect waits for its answer', async () => {
    await namespace.addSilentPeer();
    await openPair();
    const client = actor();
    const fd = await client.one(`begin ${SILENT_ADDRESS} 2001`);
    await stillLooksAt(3);
    await client.do(`close ${fd}`);
    await untilQuiet();
  });
});
