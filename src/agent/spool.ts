import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type pino from 'pino';
import type { FlushBatch } from '../flow/records.ts';
import type { Sink } from './cmdb-sink.ts';

const SUFFIX = '.batch';

/** Keeps what could not be written before the agent stopped, for the next one to write. */
export class Spool {
  readonly #directory: string;
  readonly #log: pino.Logger;

  constructor(dataDir: string, log: pino.Logger) {
    this.#directory = join(dataDir, 'spool');
    this.#log = log;
  }

  put(batch: FlushBatch): void {
    mkdirSync(this.#directory, { recursive: true });
    const path = join(this.#directory, `${batch.epoch}-${batch.at.getTime()}${SUFFIX}`);
    // v8's format knows the bigints and dates of a batch.
    writeFileSync(`${path}.new`, serialize(batch));
    renameSync(`${path}.new`, path);
    this.#log.warn({ path, flows: batch.flows.length }, 'the CMDB is away: spooled');
  }

  /**
   * Writes what earlier agents left, oldest first.
   * @returns false when the CMDB went away over it
   */
  async drain(sink: Sink): Promise<boolean> {
    for (const path of this.#waiting()) {
      const batch = this.#read(path);
      if (batch !== null) {
        const outcome = await sink.write(batch);
        if (outcome === 'unavailable') return false;
        this.#log.info({ path, flows: batch.flows.length }, 'wrote what was spooled');
      }
      rmSync(path, { force: true });
    }
    return true;
  }

  #waiting(): string[] {
    try {
      const names = readdirSync(this.#directory).filter((name) => name.endsWith(SUFFIX));
      return names.sort().map((name) => join(this.#directory, name));
    } catch {
      return []; // nothing was ever spooled
    }
  }

  #read(path: string): FlushBatch | null {
    try {
      return deserialize(readFileSync(path)) as FlushBatch;
    } catch (error) {
      this.#log.error({ path, err: error }, 'a spooled batch is damaged: it is lost');
      return null;
    }
  }
}
