import type pino from 'pino';
import type { EmbeddedServer } from '../cmdb/embedded/server.ts';
import { startEmbedded } from '../cmdb/embedded/server.ts';
import { CmdbRejected, CmdbUnavailable } from '../cmdb/errors.ts';
import type { CmdbLocation } from '../cmdb/location.ts';
import { CmdbWriter } from '../cmdb/writer.ts';
import type { FlushBatch } from '../flow/records.ts';

/**
 * What became of a batch. `unavailable`: keep it and try again; `lost-all`: the CMDB lacks what it
 * was given before, so hand over everything; `rejected`: it will never be accepted.
 */
export type WriteOutcome = 'written' | 'unavailable' | 'lost-all' | 'rejected';

/** Where flushes go. Only errors that no retry can mend are thrown (UserError). */
export interface Sink {
  /** Tries to connect; false when the CMDB is away for now. */
  connect(): Promise<boolean>;
  write(batch: FlushBatch): Promise<WriteOutcome>;
  stop(): Promise<void>;
}

/** `--cmdb none`: nobody keeps what is traced. */
class NoSink implements Sink {
  async connect(): Promise<boolean> {
    return true;
  }

  async write(): Promise<WriteOutcome> {
    return 'written';
  }

  async stop(): Promise<void> {}
}

const CLOSE_TIMEOUT_MS = 1_000;

class CmdbSink implements Sink {
  readonly #writer: CmdbWriter;
  readonly #server: EmbeddedServer | null;
  readonly #log: pino.Logger;
  #hasWritten = false;
  /** So that an outage is logged when it begins and when it ends, not at every flush. */
  #isAway = false;

  constructor(writer: CmdbWriter, server: EmbeddedServer | null, log: pino.Logger) {
    this.#writer = writer;
    this.#server = server;
    this.#log = log;
  }

  async connect(): Promise<boolean> {
    try {
      await this.#writer.connect();
      return true;
    } catch (error) {
      this.#tellAway(error);
      return false;
    }
  }

  async write(batch: FlushBatch): Promise<WriteOutcome> {
    try {
      const stats = await this.#writer.write(batch);
      if (this.#isAway) this.#log.info('the CMDB is back');
      this.#isAway = false;
      const lostAll = stats.hostIsNew && this.#hasWritten;
      this.#hasWritten = true;
      this.#log.debug(stats, 'flushed');
      return lostAll ? 'lost-all' : 'written';
    } catch (error) {
      if (error instanceof CmdbRejected) {
        this.#log.error({ err: error }, 'the CMDB refused a batch: it is lost');
        return 'rejected';
      }
      this.#tellAway(error);
      return error instanceof CmdbUnavailable && error.resendAll ? 'lost-all' : 'unavailable';
    }
  }

  async stop(): Promise<void> {
    await this.#writer.close(CLOSE_TIMEOUT_MS);
    await this.#server?.stop();
  }

  /** @throws whatever no retry can mend */
  #tellAway(error: unknown): void {
    if (!(error instanceof CmdbUnavailable)) throw error;
    const level = this.#isAway ? 'debug' : 'warn';
    this.#log[level]({ reason: error.message }, 'the CMDB is away: tracing goes on');
    this.#isAway = true;
  }
}

/**
 * Opens the sink of a location; an embedded CMDB is started.
 * @throws UserError when the embedded CMDB can't be started
 */
export async function openSink(location: CmdbLocation, log: pino.Logger): Promise<Sink> {
  switch (location.kind) {
    case 'none':
      return new NoSink();
    case 'server':
      return new CmdbSink(new CmdbWriter({ config: location.config, log }), null, log);
    case 'embedded': {
      const server = await startEmbedded({ dataDir: location.dataDir, log });
      return new CmdbSink(new CmdbWriter({ config: server.config, log }), server, log);
    }
  }
}
