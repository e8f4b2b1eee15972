/** Ways to connect, and ways to fail. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SILENT_ADDRESS } from '../../support/namespace.ts';
import { LOOPBACK, type Scene, untilLookedAt } from '../scene.ts';
import type { Case } from './case.ts';

/**
 * A port where nobody listens: below those that the kernel chooses from, or another case's listener
 * might get it.
 */
function closedPort(n: 0 | 1): number {
  return 20_000 + 2 * (process.pid % 5_000) + n;
}

const WIPED =
  'a blocking connect that fails wipes the port before the notice is made: counted as lost';

async function mptcpPair(scene: Scene, isClient: boolean): Promise<void> {
  const [server, client] = [scene.actor('server'), scene.actor('client')];
  await server.do('use mptcp 1');
  if (isClient) await client.do('use mptcp 1');
  const { fd, port } = await server.listen(LOOPBACK);
  await Promise.all([server.do(`serve ${fd} 5 20`), client.do(`churn ${LOOPBACK} ${port} 5 10`)]);
}

export const OPENING: readonly Case[] = [
  {
    name: 'a connect that does not block',
    play: (scene) => ({
      run: async () => {
        const [server, client] = [scene.actor('server'), scene.actor('client')];
        const { fd, port } = await server.listen(LOOPBACK);
        for (let i = 0; i < 5; i++) {
          const mine = await client.one(`begin ${LOOPBACK} ${port}`);
          await client.do(`finish ${mine}`);
          const theirs = await server.one(`accept ${fd}`);
          await client.do(`close ${mine}`);
          await server.do(`close ${theirs}`);
        }
      },
    }),
  },
  {
    name: 'refused, blocking',
    expect: { poll: { why: WIPED, missing: 3 } },
    play: (scene) => ({
      run: async () => {
        const port = closedPort(0);
        const client = scene.actor('client');
        for (let i = 0; i < 3; i++) await client.fail(`connect ${LOOPBACK} ${port}`);
      },
    }),
  },
  {
    name: 'refused, not blocking',
    play: (scene) => ({
      run: async () => {
        const port = closedPort(1);
        const client = scene.actor('client');
        for (let i = 0; i < 3; i++) {
          const fd = await client.one(`begin ${LOOPBACK} ${port}`);
          await client.fail(`finish ${fd}`);
          await client.do(`close ${fd}`);
        }
      },
    }),
  },
  {
    name: 'timed out',
    play: (scene) => ({
      run: async () => {
        const client = scene.actor('client', scene.places.failing);
        const fd = await client.one(`begin ${SILENT_ADDRESS} 2001`);
        await client.fail(`finish ${fd}`);
        await client.do(`close ${fd}`);
      },
    }),
  },
  {
    name: 'host unreachable',
    expect: {
      poll: { why: 'netlink does not tell unreachable from given up', missing: 1, invented: 1 },
    },
    play: (scene) => ({
      run: async () => {
        const client = scene.actor('client', scene.places.failing);
        const fd = await client.one(`begin ${SILENT_ADDRESS.replace(/\d+$/, '77')} 2002`);
        await client.fail(`finish ${fd}`);
        await client.do(`close ${fd}`);
      },
    }),
  },
  {
    name: 'aborted by close before an answer',
    play: (scene) => ({
      run: async () => {
        const client = scene.actor('client', scene.places.failing);
        const fd = await client.one(`begin ${SILENT_ADDRESS} 2003`);
        await sleep(100);
        await client.do(`close ${fd}`);
      },
    }),
  },
  {
    name: 'TCP Fast Open, with a cookie and without',
    play: (scene) => ({
      run: async () => {
        const [server, client] = [scene.actor('server'), scene.actor('client')];
        await server.do('use fastopen 1');
        const { fd, port } = await server.listen(LOOPBACK);
        const served = server.do(`serve ${fd} 4 30`);
        for (let i = 0; i < 4; i++) await client.do(`fastopen ${LOOPBACK} ${port} 20`);
        await served;
      },
    }),
  },
  {
    name: 'MPTCP at both ends',
    unable: mptcpIsOff,
    expect: {
      poll: { why: 'no destroy notices of accepted subflows: the kernel holds them', missing: 5 },
    },
    play: (scene) => ({ run: () => mptcpPair(scene, true) }),
  },
  {
    name: 'MPTCP listener, plain client',
    unable: mptcpIsOff,
    play: (scene) => ({ run: () => mptcpPair(scene, false) }),
  },
  {
    name: 'reset by close, either end',
    expect: {
      poll: {
        why: 'a reset wipes the port before the notice is made: counted as lost',
        missing: 2,
      },
    },
    play: (scene) => ({
      run: async () => {
        const [server, client] = [scene.actor('server'), scene.actor('client')];
        const { fd, port } = await server.listen(LOOPBACK);
        for (const [one, other] of [
          [server, client],
          [client, server],
        ] as const) {
          const mine = await client.one(`connect ${LOOPBACK} ${port}`);
          const theirs = await server.one(`accept ${fd}`);
          await one.do(`reset ${one === server ? theirs : mine}`);
          await other.do(`close ${one === server ? mine : theirs}`);
        }
      },
    }),
  },
  {
    name: 'connections of a thread',
    expect: { poll: 'exact' },
    play: (scene) => ({
      run: async () => {
        const [server, client] = [scene.actor('server'), scene.actor('client')];
        const { fd, port } = await server.listen(LOOPBACK);
        await client.do(`thread connect ${LOOPBACK} ${port}`);
        await server.do(`thread accept ${fd}`);
        await untilLookedAt();
      },
    }),
  },
];

function mptcpIsOff(): string | null {
  return existsSync('/proc/sys/net/mptcp/enabled') ? null : 'this kernel has no MPTCP';
}
