/**
 * A small cache, a connection for each look: `get KEY` is answered with the value, `set KEY VALUE`
 * with the number of keys.
 *
 *   listen ADDRESS PORT   ok PORT
 *   stats                 ok CONNECTIONS (that it accepted)
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { serveCommands } from './commands.ts';

const values = new Map([['greeting', 'hello']]);
let connections = 0;

async function answer(socket: Socket): Promise<void> {
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await once(socket, 'end');
  const [word, key = '', value = ''] = text.trim().split(' ');
  if (word === 'set') values.set(key, value);
  socket.end(`${word === 'set' ? values.size : (values.get(key) ?? '')}\n`);
}

async function listen([host = '', port = '']: readonly string[]): Promise<number[]> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections += 1;
    answer(socket).catch(() => socket.destroy());
  });
  server.listen(Number(port), host);
  await once(server, 'listening');
  return [(server.address() as AddressInfo).port];
}

await serveCommands({ listen, stats: () => [connections] });
