import type pino from 'pino';
import { type CmdbConfig, type CmdbConnection, connect } from '../cmdb/connection.ts';
import { describeError } from '../cmdb/errors.ts';
import { pruneHost } from '../cmdb/prune-host.ts';

export interface RetentionOptions {
  readonly config: CmdbConfig;
  readonly hostId: string;
  /** What is older goes. */
  readonly retentionMs: number;
  readonly log: pino.Logger;
  /** Before the first time; later ones come about an hour apart. */
  readonly firstInMs?: number;
  readonly now?: () => number;
}

const HOUR_MS = 3_600_000;
/** The first flushes come first, and a fleet that starts at once does not prune at once. */
const FIRST_MS = 60_000;
const FIRST_SPREAD_MS = 10 * 60_000;
const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Removes this host's old data from the CMDB about every hour, over a connection of its own, so that
 * flushes don't wait. What fails is tried again the next time.
 */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #doneDays = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #connection: CmdbConnection | undefined;
  #isStopped = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  start(): void {
    this.#wind(this.#options.firstInMs ?? FIRST_MS + Math.random() * FIRST_SPREAD_MS);
  }

  /** At once, whatever is under way: each step is a transaction that happened or did not. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#connection?.cut(new Error('the agent stops'));
  }

  #wind(inMs: number): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#prune().then(
        () => this.#wind(HOUR_MS * (0.75 + Math.random() / 2)),
        () => undefined,
      );
    }, inMs);
    this.#timer.unref();
  }

  /** Never fails. */
  async #prune(): Promise<void> {
    const { config, hostId, retentionMs, log, now = Date.now } = this.#options;
    const limit = new Date(now() - retentionMs);
    try {
      const rows = await this.#connected(config, (connection) =>
        pruneHost(connection.client, hostId, limit, this.#doneDays),
      );
      log[rows > 0 ? 'info' : 'debug']({ rows, olderThan: limit }, "removed this host's old data");
    } catch (error) {
      if (this.#isStopped) return;
      log.warn({ reason: describeError(error) }, "could not remove this host's old data yet");
    }
  }

  async #connected(
    config: CmdbConfig,
    use: (connection: CmdbConnection) => Promise<number>,
  ): Promise<number> {
    const connection = await connect(config, {
      timeoutMs: CONNECT_TIMEOUT_MS,
      applicationName: 'ttracerd',
    });
    this.#connection = connection;
    try {
      if (this.#isStopped) return 0;
      return await use(connection);
    } finally {
      this.#connection = undefined;
      await connection.close();
    }
  }
}
