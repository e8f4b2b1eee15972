/** What a helper leaves in the kernel, and what the next one makes of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { unlinkSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { Actor } from '../support/actor.ts';
import { BEFORE, BETWEEN, PinDirectory, takeOver, whyUnpinned } from '../support/pinned.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';
import { NATIVE_RUNGS, Tracer } from '../support/tracer.ts';

/** Other namespaces may have enough flows to fill the maps. */
const ARGS = [...NATIVE_RUNGS.tracepoint, '--netns', 'own'];
const ALL = BEFORE + BETWEEN;
const FLOWS = 4_000;

describe('pins', { skip: SKIP_UNLESS_ROOT }, () => {
  const pins = new PinDirectory('kernel');
  const server = new Actor();
  const client = new Actor();
  const started: Tracer[] = [];
  const start = async (...more: string[]) => {
    const tracer = await Tracer.start([...ARGS, '--pin', pins.path, ...more]);
    started.push(tracer);
    return tracer;
  };
  afterEach(() => {
    // A test that failed has not ended its own.
    for (const { helper } of started.splice(0)) helper.kill(new Error('left over'));
    pins.remove();
  });
  after(() => Promise.all([server.end(), client.end()]));

  const generations = () => pins.files.filter((name) => name.startsWith('flows_'));
  const listen = async () => {
    const { fd, port } = await server.listen('127.0.0.1');
    const connectOnce = async () => {
      const connection = await client.one(`connect 127.0.0.1 ${port}`);
      const accepted = await server.one(`accept ${fd}`);
      await client.do(`close ${connection}`);
      await server.do(`close ${accepted}`);
    };
    return { port, connectOnce };
  };

  it('are taken over by the next helper, with all that nobody acknowledged', async () => {
    const told = await takeOver(pins, ARGS);
    const { active, passive } = told;
    assert.deepEqual([told.unpinned, told.adopted, told.set], [null, true, 'the same']);
    assert.deepEqual([active, passive], [ALL, ALL]);
    assert.deepEqual(told.names, [process.execPath]);
  });

  it('of maps of another size are replaced, and what they counted is told once', async () => {
    const told = await takeOver(pins, ARGS, [...ARGS, '--max-flows', '1000']);
    const { active, passive } = told;
    assert.deepEqual([told.adopted, told.set], [false, 'the same']);
    assert.deepEqual([active, passive], [ALL, ALL]);
    assert.deepEqual(told.names, [process.execPath]);
  });

  it('that are incomplete are taken down', async () => {
    const { port, connectOnce } = await listen();
    await (await start()).stop();
    unlinkSync(join(pins.path, 'set'));
    const tracer = await start();
    assert.equal(tracer.greeting.hello.features.adopted, false);
    await connectOnce();
    await tracer.report();
    assert.equal(tracer.end('active', port).connections, 1);
    await tracer.stop();
  });

  it('keep what was told until it is acknowledged, and no longer', async () => {
    const { port, connectOnce } = await listen();
    const tracer = await start();
    for (let i = 0; i < 4; i++) {
      await connectOnce();
      await tracer.report('drain');
    }
    assert.deepEqual(generations().length, 6); // of five reports, and the one counted in
    tracer.helper.acknowledge(3n);
    await tracer.report('drain');
    assert.ok(!generations().includes('flows_3'));
    tracer.helper.kill(new Error('killed by the test'));
    await tracer.helper.ended;
    const next = await start();
    assert.equal(next.end('active', port).connections, 2);
    assert.equal(next.end('active', port).bytesSent, 0);
    await next.stop();
  });

  it('count a connection once that was open all the time, and tell its close', async () => {
    const { fd, port } = await server.listen('127.0.0.1');
    const first = await start();
    const connection = await client.one(`connect 127.0.0.1 ${port}`);
    await server.do(`accept ${fd}`);
    await first.report();
    first.helper.acknowledge(2n);
    await first.stop();
    const second = await start();
    const { connections, local } = second.end('active', port);
    assert.deepEqual([connections, local], [0, ['127.0.0.1']], 'told with nothing to count');
    await client.do(`close ${connection}`);
    // Once the other end has acknowledged its FIN, which it may put off for a while.
    await second.until(() => second.end('active', port).closed > 0, 'its close');
    assert.equal(second.end('active', port).closed, 1);
    await second.stop();
  });

  it('name every process, also when the ring had no room to announce it', async () => {
    const listener = createServer((socket) => socket.end()).listen(0, '0.0.0.0');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const first = await start();
    first.helper.kill(new Error('killed by the test'));
    await first.helper.ended;
    // Two flows each, of 392 bytes in the ring: three times what it holds.
    for (let i = 0; i < FLOWS; i++) {
      const socket = connect(port, `127.1.${i >> 8}.${i & 255}`).resume();
      await once(socket, 'close');
    }
    listener.close();
    const second = await start();
    const named = second.firsts.filter(({ key }) => key.servicePort === port);
    assert.equal(
      new Set(named.map(({ key }) => `${key.direction} ${key.peer} ${key.local}`)).size,
      2 * FLOWS,
    );
    assert.ok(named.every(({ identity }) => identity.exe === process.execPath));
    assert.equal(second.end('active', port).connections, FLOWS);
    assert.equal(second.stats?.ringLost, 0n);
    await second.stop();
  });

  it('belong to one helper at a time', async () => {
    const first = await start();
    const second = await start();
    assert.match(whyUnpinned(second.greeting) ?? '', /not pinned: .* is in use/);
    await second.stop();
    await first.stop();
  });

  it('are not made outside of bpffs', async () => {
    const tracer = await Tracer.start([...ARGS, '--pin', '/tmp/pins']);
    assert.match(whyUnpinned(tracer.greeting) ?? '', /not pinned: \/tmp\/pins is not below/);
    await tracer.stop();
  });
});
