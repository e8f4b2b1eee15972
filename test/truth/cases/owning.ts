/** Whose a connection is: workers, inheritance, hand-over, renaming, and the tracer's own start. */
import type { Actor } from '../../support/actor.ts';
import { eventually } from '../../support/processes.ts';
import { endlessly, LOOPBACK, type Scene, untilLookedAt } from '../scene.ts';
import type { Case } from './case.ts';

interface Pair {
  readonly server: Actor;
  readonly client: Actor;
  readonly listener: number;
  readonly port: number;
  readonly mine: number;
  readonly theirs: number;
}

async function openPair(scene: Scene): Promise<Pair> {
  const [server, client] = [scene.actor('server'), scene.actor('client')];
  const { fd: listener, port } = await server.listen(LOOPBACK);
  const mine = await client.one(`connect ${LOOPBACK} ${port}`);
  const theirs = await server.one(`accept ${listener}`);
  return { server, client, listener, port, mine, theirs };
}

async function closePair({ server, client, mine, theirs }: Pair): Promise<void> {
  await client.do(`close ${mine}`);
  await server.do(`close ${theirs}`);
}

/** Until so many passive ends are logged: those who accept don't tell when they have. */
async function untilAccepted(scene: Scene, count: number): Promise<void> {
  const passive = () => scene.truth().filter(({ side }) => side === 'passive').length;
  await eventually(() => passive() === count, { what: `${count} accepted` });
}

const HOLDER = 'who accepted is not seen, only who holds the socket later';

export const OWNING: readonly Case[] = [
  {
    name: 'SO_REUSEPORT, four processes',
    play: (scene) => ({
      run: async () => {
        const servers = [0, 1, 2, 3].map((i) => scene.actor(`server-${i}`));
        let port = 0;
        for (const server of servers) {
          await server.do('use reuseport 1');
          const [fd = -1, bound = 0] = await server.do(`listen ${LOOPBACK} 64 ${port}`);
          port = bound;
          endlessly(server, `serve ${fd} 1000 0`);
        }
        await scene.actor('client').do(`hold ${LOOPBACK} ${port} 40 5`);
        await untilAccepted(scene, 40);
      },
    }),
  },
  {
    name: 'pre-forked workers',
    play: (scene) => ({
      run: async () => {
        const [master, client] = [scene.actor('master'), scene.actor('client')];
        const { fd, port } = await master.listen(LOOPBACK);
        for (let i = 0; i < 3; i++) await master.do(`background serve ${fd} 1000 0`);
        await client.do(`hold ${LOOPBACK} ${port} 20 5`);
        await untilAccepted(scene, 20);
      },
    }),
  },
  {
    name: 'workers of another executable than the listener',
    play: (scene) => ({
      run: async () => {
        const [master, client] = [scene.actor('master'), scene.actor('client')];
        const { fd, port } = await master.listen(LOOPBACK);
        endlessly(master, `spawn 1 ${scene.program('worker')} serve ${fd} 20 0`);
        await client.do(`hold ${LOOPBACK} ${port} 20 5`);
        await untilAccepted(scene, 20);
      },
    }),
  },
  {
    name: 'two programs in one process, one after the other',
    play: (scene) => ({
      run: async () => {
        const [server, client] = [scene.actor('server'), scene.actor('client')];
        const [one, other] = [await server.listen(LOOPBACK), await server.listen(LOOPBACK)];
        await client.do(`connect ${LOOPBACK} ${one.port}`);
        await client.do(`exec ${scene.program('next')}`);
        await client.do(`connect ${LOOPBACK} ${other.port}`);
        await server.do(`accept ${one.fd}`);
        await server.do(`accept ${other.fd}`);
      },
    }),
    expect: {
      poll: { why: 'whoever holds a socket when it is looked at counts', wrongProcess: 1 },
    },
  },
  {
    name: 'asleep in accept since before the start',
    play: (scene) => {
      const [server, client] = [scene.actor('server'), scene.actor('client')];
      let [listening, served] = [0, Promise.resolve()];
      return {
        before: async () => {
          const { fd, port } = await server.listen(LOOPBACK);
          listening = port;
          served = server.do(`serve ${fd} 3 0`).then(() => undefined);
        },
        run: async () => {
          await client.do(`hold ${LOOPBACK} ${listening} 3 50`);
          await served;
        },
      };
    },
  },
  {
    name: 'never accepted',
    play: (scene) => ({
      run: async () => {
        const [server, client] = [scene.actor('server'), scene.actor('client')];
        const { port } = await server.listen(LOOPBACK);
        await client.do(`connect ${LOOPBACK} ${port}`);
        await client.do(`connect ${LOOPBACK} ${port}`);
        await untilLookedAt();
        await server.end();
        await client.end();
      },
    }),
  },
  {
    name: 'handed to another process',
    play: (scene) => ({
      run: async () => {
        const pair = await openPair(scene);
        await untilLookedAt();
        const [nextClient, nextServer] = [scene.actor('next-client'), scene.actor('next-server')];
        const mine = await nextClient.one(`take ${pair.client.pid} ${pair.mine}`);
        const theirs = await nextServer.one(`take ${pair.server.pid} ${pair.theirs}`);
        await closePair(pair);
        await nextClient.do(`send ${mine} 10`);
        await nextServer.do(`receive ${theirs} 10`);
        await untilLookedAt();
        await nextServer.do(`close ${theirs}`);
        await nextClient.do(`close ${mine}`);
      },
    }),
    expect: { poll: 'exact' },
  },
  {
    name: 'handed to another process as soon as it is accepted',
    play: (scene) => ({
      run: async () => {
        const [next, pair] = [scene.actor('next-server'), await openPair(scene)];
        const theirs = await next.one(`take ${pair.server.pid} ${pair.theirs}`);
        await pair.server.do(`close ${pair.theirs}`);
        await next.do(`close ${theirs}`);
        await pair.client.do(`close ${pair.mine}`);
      },
    }),
    expect: { tracepoint: { why: HOLDER, wrongProcess: 1 } },
  },
  {
    name: 'fork after connect and accept',
    play: (scene) => ({
      run: async () => {
        const pair = await openPair(scene);
        const { server, client, mine, theirs } = pair;
        const child = await client.one(`fork send ${mine} 9`);
        await server.do(`receive ${theirs} 9`);
        const worker = await server.one(`fork send ${theirs} 9`);
        await closePair(pair);
        await client.do(`kill ${child}`);
        await server.do(`kill ${worker}`);
      },
    }),
  },
  {
    name: 'exec after connect',
    play: (scene) => ({
      run: async () => {
        const pair = await openPair(scene);
        await pair.client.do(`exec ${scene.program('after')}`);
        await pair.client.do(`send ${pair.mine} 9`);
        await closePair(pair);
      },
    }),
  },
  {
    name: 'renamed by prctl',
    expect: { poll: 'exact' },
    play: (scene) => ({
      run: async () => {
        const [server, client] = [scene.actor('server'), scene.actor('client')];
        await client.do('rename somebody');
        await server.do('rename else');
        const { fd, port } = await server.listen(LOOPBACK);
        await client.do(`connect ${LOOPBACK} ${port}`);
        await server.do(`accept ${fd}`);
        await untilLookedAt();
      },
    }),
  },
  {
    name: 'a pid that is used again',
    play: (scene) => ({
      run: async () => {
        const [server, parent] = [scene.actor('server'), scene.actor('parent')];
        const { fd, port } = await server.listen(LOOPBACK);
        const served = server.do(`serve ${fd} 10 0`);
        const hold = `hold ${LOOPBACK} ${port} 1 0`;
        for (let i = 0; i < 5; i++) {
          const pid = await parent.one(`spawn 1 ${scene.program('first')} ${hold}`);
          await parent.do(`respawn ${pid} ${scene.program('second')} ${hold}`);
        }
        await served;
      },
    }),
  },
  {
    name: 'a listener that closes while its connections live',
    expect: { poll: 'exact' },
    play: (scene) => ({
      run: async () => {
        const pair = await openPair(scene);
        await pair.server.do(`close ${pair.listener}`);
        await untilLookedAt();
        await closePair(pair);
      },
    }),
  },
  {
    name: 'open before the start',
    expect: { poll: 'exact' },
    play: (scene) => {
      const pairs: Pair[] = [];
      return {
        before: async () => {
          pairs.push(await openPair(scene));
        },
        run: async () => {
          await untilLookedAt();
          for (const pair of pairs) await closePair(pair);
        },
      };
    },
  },
  {
    name: 'open before the start, the listener gone',
    expect: { poll: 'exact' },
    play: (scene) => ({
      before: async () => {
        const { server, listener } = await openPair(scene);
        await server.do(`close ${listener}`);
      },
      run: untilLookedAt,
    }),
  },
  {
    name: 'opening during the start',
    expect: { poll: 'exact' },
    play: (scene) => {
      const [server, client] = [scene.actor('server'), scene.actor('client')];
      return {
        during: async () => {
          const { fd, port } = await server.listen(LOOPBACK);
          const admitted = server.do(`admit ${fd} 150`);
          for (let i = 0; i < 150; i++) {
            await client.do(`connect ${LOOPBACK} ${port}`);
            await client.do('sleep 10');
          }
          await admitted;
        },
        run: async () => {
          await untilLookedAt();
          await server.do('drop');
        },
      };
    },
  },
];
