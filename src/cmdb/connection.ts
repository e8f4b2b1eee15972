import { Socket, type SocketConnectOpts } from 'node:net';
import pg from 'pg';
import { NoAnswer, sqlState } from './errors.ts';
import { killableLookup } from './name-lookup.ts';
import type { Tls } from './tls.ts';

/** How to connect. */
export interface CmdbConfig extends pg.ClientConfig {
  /** Tried when the server refuses what `ssl` says: libpq's `allow` and `prefer`. */
  readonly sslFallback?: Tls;
}

/** A connection that can be cut at any time, whatever the protocol is in the middle of. */
export interface CmdbConnection {
  readonly client: pg.Client;
  /** False once the server or the network has gone, or after {@link CmdbConnection.cut}. */
  isOpen(): boolean;
  /** Says goodbye, and cuts the connection when that takes longer than a second. */
  close(): Promise<void>;
  /** Drops the socket: every pending query fails at once. */
  cut(reason: Error): void;
}

/** A socket for `pg`, which says `connect(PORT, HOST)` or `connect(PATH)`. */
class CmdbSocket extends Socket {
  readonly #timeoutMs: number;
  #wasConnected = false;

  constructor({ timeoutMs }: Pick<Attempt, 'timeoutMs'>) {
    super();
    this.#timeoutMs = timeoutMs;
    this.once('connect', () => {
      this.#wasConnected = true;
    });
  }

  /** Somebody took the connection, whatever came of it. */
  get wasConnected(): boolean {
    return this.#wasConnected;
  }

  override connect(to: SocketConnectOpts | number | string, host?: unknown): this {
    if (typeof host !== 'string') return super.connect(to as SocketConnectOpts);
    return super.connect({ port: Number(to), host, lookup: killableLookup(this.#timeoutMs) });
  }
}

const CLOSE_TIMEOUT_MS = 1_000;
const KEEP_ALIVE_MS = 15_000;

/** How long to try, and as whom. */
interface Attempt {
  readonly timeoutMs: number;
  readonly applicationName: string;
}

/** "No pg_hba.conf entry", perhaps only for connections with, or without, TLS. */
const INVALID_AUTHORIZATION = '28000';

/**
 * Connects and authenticates within `timeoutMs`, all of it: name lookup, TCP, TLS, password.
 * @throws what the system or server said, or an Error saying that time ran out
 */
export async function connect(config: CmdbConfig, attempt: Attempt): Promise<CmdbConnection> {
  const { sslFallback, ...first } = config;
  if (sslFallback === undefined) return await connectOnce(first, new CmdbSocket(attempt), attempt);
  const startedMs = performance.now();
  const socket = new CmdbSocket(attempt);
  try {
    return await connectOnce(first, socket, attempt);
  } catch (error) {
    const timeoutMs = attempt.timeoutMs - (performance.now() - startedMs);
    const state = sqlState(error);
    const refused =
      state === undefined
        ? socket.wasConnected && first.ssl !== false
        : state === INVALID_AUTHORIZATION;
    if (!refused || timeoutMs <= 0) throw error;
    const second = { ...attempt, timeoutMs };
    try {
      return await connectOnce({ ...first, ssl: sslFallback }, new CmdbSocket(second), second);
    } catch (again) {
      // A server without TLS is no news to those who did not ask for it.
      if (/server does not support SSL/.test(String(error))) throw again;
      throw new AggregateError([again, error], '', { cause: error });
    }
  }
}

async function connectOnce(
  config: pg.ClientConfig,
  socket: CmdbSocket,
  { timeoutMs, applicationName }: Attempt,
): Promise<CmdbConnection> {
  const client = new pg.Client({
    fallback_application_name: applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    ...config,
    // Our own socket, since a client in the middle of a query can't be told to let go of its own.
    stream: () => socket,
  });
  let open = true;
  const markClosed = (): void => {
    open = false;
  };
  // Whatever happens to the connection also fails the query in progress, where it is handled; without
  // a listener an idle connection that ends would end the process.
  client.on('error', markClosed);
  client.on('end', markClosed);
  const cut = (reason: Error): void => {
    markClosed();
    socket.destroy(reason);
  };
  try {
    await withTimeout(client.connect(), timeoutMs, () =>
      cut(new NoAnswer(`no answer within ${timeoutMs / 1000} s`)),
    );
  } catch (error) {
    socket.destroy();
    // What `pg` says of a password that is asked for but not there helps nobody.
    if (error instanceof Error && /client password must be a string/.test(error.message)) {
      const message = 'the server asks for a password: put it into the URL or PGPASSWORD';
      throw new Error(message, { cause: error });
    }
    throw error;
  }
  return { client, isOpen: () => open, cut, close: () => close(client, cut) };
}

async function close(client: pg.Client, cut: (reason: Error) => void): Promise<void> {
  const gone = new Error('the connection did not close in time');
  try {
    await withTimeout(client.end(), CLOSE_TIMEOUT_MS, () => cut(gone));
  } catch {
    // It was lost already, which is as good as closed.
  }
}

/**
 * Waits for `work`; after `timeoutMs` calls `expire`, which must make `work` settle, and fails with
 * what it then fails with.
 */
export async function withTimeout<T>(
  work: Promise<T>,
  timeoutMs: number,
  expire: () => void,
): Promise<T> {
  const timer = setTimeout(expire, timeoutMs);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}
