import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type pino from 'pino';
import type { FlushBatch } from '../flow/records.ts';
import type { Sink } from './cmdb-sink.ts';

const SUFFIX = '.batch';
/** Changes with {@link FlushBatch}: another version's file can't be understood. */
const FORMAT = 2;

/** Keeps what could not be written before the agent stopped, for the next one to write. */
export class Spool {
  readonly #directory: string;
  readonly #log: pino.Logger;

  constructor(dataDir: string, log: pino.Logger) {
    this.#directory = join(dataDir, 'spool');
    this.#log = log;
  }

  get isEmpty(): boolean {
    return this.#waiting().length === 0;
  }

  /** Keeps a batch; where the disk does not take it, it is lost and the log says so. */
  put(batch: FlushBatch): void {
    const path = join(this.#directory, `${batch.epoch}-${batch.at.getTime()}${SUFFIX}`);
    const flows = batch.flows.length;
    try {
      mkdirSync(this.#directory, { recursive: true });
      // v8's format knows the bigints and dates of a batch.
      writeFileSync(`${path}.new`, serialize({ format: FORMAT, batch }));
      renameSync(`${path}.new`, path);
      this.#log.warn({ path, flows }, 'the CMDB is away: spooled');
    } catch (error) {
      this.#log.error({ path, flows, err: error }, "can't spool: what was not written is lost");
    }
  }

  /**
   * Writes what earlier agents left, oldest first.
   * @returns false when the CMDB went away over it
   */
  async drain(sink: Pick<Sink, 'write'>): Promise<boolean> {
    for (const path of this.#waiting()) {
      const batch = this.#read(path);
      if (batch !== null && !(await this.#write(batch, path, sink))) return false;
      rmSync(path, { force: true });
    }
    return true;
  }

  /** @returns false when it is to be tried again later */
  async #write(batch: FlushBatch, path: string, sink: Pick<Sink, 'write'>): Promise<boolean> {
    let outcome = await sink.write(batch);
    // Either written, to a CMDB that was replaced, or refers to rows that went with the old one.
    if (outcome === 'lost-all') outcome = await sink.write(batch);
    if (outcome === 'unavailable') return false;
    const flows = batch.flows.length;
    if (outcome === 'written') this.#log.info({ path, flows }, 'wrote what was spooled');
    else this.#log.error({ path, flows, outcome }, 'the CMDB takes no spooled batch: it is lost');
    return true;
  }

  /** Paths of spooled batches, oldest first. */
  #waiting(): string[] {
    let names: string[];
    try {
      names = readdirSync(this.#directory).filter((name) => name.endsWith(SUFFIX));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    }
    return names
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
      .map((name) => join(this.#directory, name));
  }

  #read(path: string): FlushBatch | null {
    try {
      const kept: unknown = deserialize(readFileSync(path));
      if (isKept(kept)) return kept.batch;
      throw new Error(`it is not of format ${FORMAT}`);
    } catch (error) {
      this.#log.error({ path, err: error }, 'a spooled batch is damaged: it is lost');
      return null;
    }
  }
}

function isKept(kept: unknown): kept is { readonly batch: FlushBatch } {
  return (
    typeof kept === 'object' &&
    kept !== null &&
    'format' in kept &&
    kept.format === FORMAT &&
    'batch' in kept
  );
}
