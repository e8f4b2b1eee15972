import type pino from 'pino';
import type { CmdbConfig } from '../cmdb/connection.ts';
import type { EmbeddedServer } from '../cmdb/embedded/server.ts';
import { startEmbedded } from '../cmdb/embedded/server.ts';
import { CmdbRejected, CmdbUnavailable, type OutageKind } from '../cmdb/errors.ts';
import type { CmdbLocation } from '../cmdb/location.ts';
import { CmdbWriter } from '../cmdb/writer.ts';
import type { FlushBatch } from '../flow/records.ts';

/**
 * What became of a batch. `replaced`: written, but the CMDB lacks what it was given before, so hand
 * over everything; `lost-all`: the same, and not written; `unavailable`: keep it and try again;
 * `maybe-written`: the same, the answer to the commit was lost; `rejected`: it will never be accepted.
 */
export type WriteOutcome =
  | 'written'
  | 'replaced'
  | 'unavailable'
  | 'maybe-written'
  | 'lost-all'
  | 'rejected';

/** The time in which the CMDB takes nothing. */
export interface Outage {
  readonly kind: OutageKind;
  /** One line about the latest attempt. */
  readonly reason: string;
  /** On the monotonic clock (`performance.now`). */
  readonly sinceMs: number;
}

/** Where flushes go. Only errors that no retry can mend are thrown (UserError). */
export interface Sink {
  /** null while the CMDB takes what it is given, as far as is known. */
  readonly outage: Outage | null;
  /** Tries to connect; false when the CMDB is away for now. */
  connect(): Promise<boolean>;
  write(batch: FlushBatch): Promise<WriteOutcome>;
  stop(): Promise<void>;
}

/** `--cmdb none`: nobody keeps what is traced. */
class NoSink implements Sink {
  readonly outage = null;

  async connect(): Promise<boolean> {
    return true;
  }

  async write(): Promise<WriteOutcome> {
    return 'written';
  }

  async stop(): Promise<void> {}
}

const CLOSE_TIMEOUT_MS = 1_000;

/** Writes to a CMDB, and tells when it goes away and comes back. */
export class CmdbSink implements Sink {
  readonly #writer: Pick<CmdbWriter, 'connect' | 'write' | 'close'>;
  readonly #server: Pick<EmbeddedServer, 'stop'> | null;
  readonly #log: pino.Logger;
  #hasWritten = false;
  #outage: Outage | null = null;
  /** Each kind of failure is logged once in an outage, however often it is met. */
  readonly #told = new Set<OutageKind>();

  constructor(
    writer: Pick<CmdbWriter, 'connect' | 'write' | 'close'>,
    server: Pick<EmbeddedServer, 'stop'> | null,
    log: pino.Logger,
  ) {
    this.#writer = writer;
    this.#server = server;
    this.#log = log;
  }

  get outage(): Outage | null {
    return this.#outage;
  }

  async connect(): Promise<boolean> {
    try {
      await this.#writer.connect();
      return true;
    } catch (error) {
      this.#away(error);
      return false;
    }
  }

  async write(batch: FlushBatch): Promise<WriteOutcome> {
    try {
      const stats = await this.#writer.write(batch);
      this.#back();
      const isReplaced = stats.hostIsNew && this.#hasWritten;
      this.#hasWritten = true;
      this.#log.debug(stats, 'flushed');
      return isReplaced ? 'replaced' : 'written';
    } catch (error) {
      if (error instanceof CmdbRejected) {
        this.#log.error({ err: error }, 'the CMDB refused a batch: it is lost');
        return 'rejected';
      }
      const { resendAll, maybeCommitted } = this.#away(error);
      if (resendAll) return 'lost-all';
      return maybeCommitted ? 'maybe-written' : 'unavailable';
    }
  }

  async stop(): Promise<void> {
    await this.#writer.close(CLOSE_TIMEOUT_MS);
    await this.#server?.stop();
  }

  #back(): void {
    if (this.#outage === null) return;
    const outageMs = Math.round(performance.now() - this.#outage.sinceMs);
    this.#log.info({ outageMs }, 'the CMDB is back');
    this.#outage = null;
    this.#told.clear();
  }

  /** @throws whatever no retry can mend */
  #away(error: unknown): CmdbUnavailable {
    if (!(error instanceof CmdbUnavailable)) throw error;
    const { kind, message: reason } = error;
    const sinceMs = this.#outage?.sinceMs ?? performance.now();
    this.#outage = { kind, reason, sinceMs };
    const level = this.#told.has(kind) ? 'debug' : 'warn';
    this.#told.add(kind);
    this.#log[level]({ kind, reason }, 'the CMDB is away: tracing goes on');
    return error;
  }
}

/** A sink, and how to connect to its database for anything else; null where there is none. */
export interface Destination {
  readonly sink: Sink;
  readonly config: CmdbConfig | null;
}

/**
 * Opens the sink of a location; an embedded CMDB is started.
 * @throws UserError when the embedded CMDB can't be started
 */
export async function openSink(location: CmdbLocation, log: pino.Logger): Promise<Destination> {
  switch (location.kind) {
    case 'none':
      return { sink: new NoSink(), config: null };
    case 'server': {
      const { config } = location;
      return { sink: new CmdbSink(new CmdbWriter({ config, log }), null, log), config };
    }
    case 'embedded': {
      const server = await startEmbedded({ dataDir: location.dataDir, log });
      const { config } = server;
      return { sink: new CmdbSink(new CmdbWriter({ config, log }), server, log), config };
    }
  }
}
