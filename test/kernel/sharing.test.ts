/** Polling: what is told of owners of listening sockets whose children could accept, too. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { ACTOR_PROGRAM, Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { Namespace } from '../support/namespace.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';
import { Tracer } from '../support/tracer.ts';

const LOOPBACK = '127.0.0.1';

describe('the owner of a listening socket, poll', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  let namespace: Namespace;
  let tracer: Tracer;
  before(async () => {
    namespace = cleanup.keep(await Namespace.create(), (it) => it.delete());
    const args = ['--mode', 'poll', '--netns', 'own'];
    tracer = cleanup.keep(await Tracer.start(args, namespace.wrapper), (it) => it.stop());
  });
  after(() => cleanup.run());

  const actor = () => cleanup.keep(new Actor({ wrapper: namespace.wrapper }), (it) => it.end());
  const ownersOf = (port: number) =>
    tracer.listeners.filter((it) => it.port === port).map(({ tgid, shared }) => [tgid, shared]);
  /** After a connection that only its notice tells of. */
  const ownersAfterAnother = async (fd: number, port: number, acceptor: Actor) => {
    const client = actor();
    const accepted = acceptor.do(`serve ${fd} 1 0`);
    await client.do(`hold ${LOOPBACK} ${port} 1 0`);
    await accepted;
    await tracer.report();
    return ownersOf(port);
  };

  it('alone, where it has no children', async () => {
    const server = actor();
    const { fd, port } = await server.listen(LOOPBACK);
    await tracer.report();
    assert.deepEqual(await ownersAfterAnother(fd, port, server), [[server.pid, false]]);
  });

  it('had a child of another program that is gone', async () => {
    const server = actor();
    const { fd, port } = await server.listen(LOOPBACK);
    await tracer.report();
    await server.do(`spawn 1 ${ACTOR_PROGRAM} sleep 1`);
    assert.deepEqual(await ownersAfterAnother(fd, port, server), [[server.pid, true]]);
  });

  it('has a child that has not been seen yet', async () => {
    const server = actor();
    const { fd, port } = await server.listen(LOOPBACK);
    await tracer.report();
    await server.one('fork sleep 1');
    assert.deepEqual(await ownersAfterAnother(fd, port, server), [[server.pid, true]]);
  });

  it('alone, where it keeps the socket from programs that it starts', async () => {
    // Node.js marks its sockets so, as most run-times do.
    const script = `const server = require('net').createServer((it) => it.end());
      server.listen(0, '${LOOPBACK}', () => {
        require('child_process').execFileSync('true');
        process.stdout.write(String(server.address().port));
      });`;
    const [command = '', ...argv] = [...namespace.wrapper, process.execPath, '-e', script];
    const server = spawn(command, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
    cleanup.keep(server, async (it) => it.kill('SIGKILL'));
    const port = await new Promise<number>((resolve) => {
      server.stdout.once('data', (text: Buffer) => resolve(Number(text)));
    });
    await actor().do(`hold ${LOOPBACK} ${port} 1 0`);
    await tracer.report();
    assert.deepEqual(ownersOf(port), [[server.pid, false]]);
  });
});
