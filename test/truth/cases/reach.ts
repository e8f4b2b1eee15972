/** Address families, ways between processes, lifetimes. */
import type { Namespace } from '../../support/namespace.ts';
import { AWAY, LOOPBACK, type Scene } from '../scene.ts';
import type { Case } from './case.ts';

interface Way {
  readonly listenOn: string;
  readonly connectTo: string;
  readonly clientsIn?: Namespace;
  readonly serverIn?: Namespace;
}

/** Ten short connections from one process to another. */
async function exchange(scene: Scene, way: Way, command = 'churn', rest = '10 100'): Promise<void> {
  const server = scene.actor('server', way.serverIn);
  const client = scene.actor('client', way.clientsIn);
  const { fd, port } = await server.listen(way.listenOn);
  const count = rest.split(' ')[0];
  await Promise.all([
    server.do(`serve ${fd} ${count} 50`),
    client.do(`${command} ${way.connectTo} ${port} ${rest}`),
  ]);
}

const simple = (name: string, listenOn: string, connectTo = listenOn): Case => ({
  name,
  play: (scene) => ({ run: () => exchange(scene, { listenOn, connectTo }) }),
});

const lifetime = (ms: number, count: number): Case => ({
  name: `lives ${ms} ms`,
  ...(ms > 1_000 ? { expect: { poll: 'exact' as const } } : {}),
  play: (scene) => ({
    run: async () => {
      const [server, client] = [scene.actor('server'), scene.actor('client')];
      const { fd, port } = await server.listen(LOOPBACK);
      await Promise.all([
        server.do(`serve ${fd} ${count} 0`),
        client.do(`hold ${LOOPBACK} ${port} ${count} ${ms}`),
      ]);
    },
  }),
});

export const REACH: readonly Case[] = [
  simple('IPv4 over loopback', LOOPBACK),
  simple('IPv6 over loopback', '::1'),
  simple('IPv4 to a dual-stack listener', '::', LOOPBACK),
  simple('IPv4 from an IPv6 socket', '::', `::ffff:${LOOPBACK}`),
  {
    name: 'IPv4 over a veth',
    play: (scene) => ({
      run: () =>
        exchange(scene, {
          listenOn: AWAY.ipv4,
          connectTo: AWAY.ipv4,
          serverIn: scene.places.away,
        }),
    }),
  },
  {
    name: 'IPv6 over a veth',
    play: (scene) => ({
      run: () =>
        exchange(scene, {
          listenOn: AWAY.ipv6,
          connectTo: AWAY.ipv6,
          serverIn: scene.places.away,
        }),
    }),
  },
  lifetime(0, 20),
  lifetime(1, 20),
  lifetime(10, 10),
  lifetime(100, 5),
  lifetime(5_000, 1),
  {
    name: 'client processes that live under 5 ms',
    play: (scene) => ({
      run: async () => {
        const [server, parent] = [scene.actor('server'), scene.actor('parent')];
        const { fd, port } = await server.listen(LOOPBACK);
        await Promise.all([
          server.do(`serve ${fd} 30 0`),
          parent.do(`spawn 30 ${scene.program('client')} hold ${LOOPBACK} ${port} 1 0`),
        ]);
      },
    }),
  },
  {
    name: 'a network namespace made and destroyed after the start',
    play: (scene) => ({
      run: async () => {
        for (const round of ['first', 'second']) {
          const place = await scene.namespace();
          const [server, client] = [
            scene.actor(`server-${round}`, place),
            scene.actor(`client-${round}`, place),
          ];
          const { fd, port } = await server.listen(LOOPBACK);
          await Promise.all([
            server.do(`serve ${fd} 5 0`),
            client.do(`hold ${LOOPBACK} ${port} 5 10`),
          ]);
          await Promise.all([server.end(), client.end(), place.delete()]);
        }
      },
    }),
    expect: {
      poll: {
        why: 'namespaces that live less than an interval are never looked into',
        missing: 20,
      },
    },
  },
  {
    name: 'a process in pid, mount and network namespaces of its own',
    play: (scene) => {
      const contained = scene.actor('contained');
      return {
        before: () => contained.do('contain'),
        run: async () => {
          const { fd, port } = await contained.listen(LOOPBACK);
          await contained.do(`background serve ${fd} 5 0`);
          await contained.do(`hold ${LOOPBACK} ${port} 5 20`);
        },
      };
    },
  },
];
