/**
 * A small application: each HTTP request is one query to its database, over a pool of connections
 * that it opens once, and one look into its cache, if it has one. `/?ms=N` answers after N ms.
 *
 *   database ADDRESS PORT COUNT   ok COUNT (opens that many connections, and keeps them)
 *   cache ADDRESS PORT            ok (from now on, a connection for each look)
 *   listen ADDRESS PORT           ok PORT
 *   stats                         ok REQUESTS CONNECTIONS LOOKS (CONNECTIONS it accepted)
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { serveCommands } from './commands.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

const addressOf = ([host = '', port = '']: readonly string[]): Address => ({
  host,
  port: Number(port),
});

/** One look: a line there, a line back, and the cache closes. */
async function look(cache: Address): Promise<void> {
  const socket = connect(cache);
  socket.end('get greeting\n');
  socket.resume();
  await once(socket, 'close');
}

class App {
  #requests = 0;
  #connections = 0;
  #looks = 0;
  #pool: pg.Pool | null = null;
  #cache: Address | null = null;

  async openDatabase(words: readonly string[]): Promise<number[]> {
    const count = Number(words[2]);
    const user = { user: 'transtracer', database: 'postgres' };
    this.#pool = new pg.Pool({ ...addressOf(words), ...user, max: count, idleTimeoutMillis: 0 });
    const clients = await Promise.all(Array.from({ length: count }, () => this.#pool?.connect()));
    for (const client of clients) client?.release();
    return [this.#pool.totalCount];
  }

  useCache(words: readonly string[]): number[] {
    this.#cache = addressOf(words);
    return [];
  }

  async listen(words: readonly string[]): Promise<number[]> {
    const server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        response.writeHead(500).end(`${String(error)}\n`);
      });
    });
    server.on('connection', () => {
      this.#connections += 1;
    });
    server.listen(addressOf(words));
    await once(server, 'listening');
    return [(server.address() as AddressInfo).port];
  }

  stats(): number[] {
    return [this.#requests, this.#connections, this.#looks];
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#requests += 1;
    if (this.#cache !== null) {
      await look(this.#cache);
      this.#looks += 1;
    }
    const result = await this.#pool?.query<{ text: string }>("SELECT 'hello' AS text");
    await sleep(Number(new URL(request.url ?? '/', 'http://app').searchParams.get('ms') ?? 0));
    response.end(`${result?.rows[0]?.text}\n`);
  }
}

const app = new App();
await serveCommands({
  database: (words) => app.openDatabase(words),
  cache: (words) => app.useCache(words),
  listen: (words) => app.listen(words),
  stats: () => app.stats(),
});
