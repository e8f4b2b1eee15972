import { once } from 'node:events';
import { existsSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Greeting } from '../../src/bpf-ts-loader/index.ts';
import { Tracer } from './tracer.ts';

/** What a helper took over from one that was killed, of connections made while there was none. */
export interface TakenOver {
  /** Why the first helper pinned nothing; null when it did. */
  readonly unpinned: string | null;
  readonly adopted: boolean;
  readonly set: string;
  /** Connections to the port before and after the kill, as the second helper tells them. */
  readonly active: number;
  readonly passive: number;
  /** Names of the processes that it told with them. */
  readonly names: readonly string[];
}

/** Connections made before a helper is killed, and those made before the next one starts. */
export const BEFORE = 3;
export const BETWEEN = 5;

/** A directory of pins, gone when the test is over. */
export class PinDirectory {
  readonly path: string;

  constructor(name: string) {
    this.path = `/sys/fs/bpf/transtracer/test-${process.pid}-${name}`;
  }

  get files(): string[] {
    return existsSync(this.path) ? readdirSync(this.path).sort() : [];
  }

  remove(): void {
    for (const file of this.files) unlinkSync(join(this.path, file));
    if (existsSync(this.path)) rmdirSync(this.path);
  }
}

/** Why nothing is pinned, as the ladder tells; null when it is. */
export function whyUnpinned({ hello, rungs }: Greeting): string | null {
  if (hello.features.pinned) return null;
  return rungs.find(({ error }) => error === 0)?.text ?? 'no reason given';
}

/**
 * Kills a helper, connects, and has another one take over.
 * @param args of the first helper, but for the directory of pins
 * @param later of the second one
 */
export async function takeOver(
  pins: PinDirectory,
  args: readonly string[],
  later = args,
): Promise<TakenOver> {
  const server = createServer((_request, response) => response.end('ok\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const first = await Tracer.start([...args, '--pin', pins.path]);
    await connectTo(server, BEFORE);
    first.helper.kill(new Error('killed by the test'));
    await first.helper.ended;
    await connectTo(server, BETWEEN);
    const second = await Tracer.start([...later, '--pin', pins.path]);
    const told = toldBy(second, server, first);
    await second.stop();
    return told;
  } finally {
    server.close();
  }
}

function toldBy(second: Tracer, server: Server, first: Tracer): TakenOver {
  const { port } = server.address() as AddressInfo;
  const { features, setId } = second.greeting.hello;
  const firsts = second.firsts.filter(({ key }) => key.servicePort === port);
  return {
    unpinned: whyUnpinned(first.greeting),
    adopted: features.adopted,
    set: setId === first.greeting.hello.setId ? 'the same' : 'another',
    active: second.end('active', port).connections,
    passive: second.end('passive', port).connections,
    names: [...new Set(firsts.map(({ identity }) => identity.exe))],
  };
}

async function connectTo(server: Server, count: number): Promise<void> {
  const { port } = server.address() as AddressInfo;
  for (let made = 0; made < count; made += 1) {
    const socket = connect(port, '127.0.0.1');
    socket.resume().end('GET / HTTP/1.0\r\n\r\n');
    await once(socket, 'close');
  }
}
