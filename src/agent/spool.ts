import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type pino from 'pino';
import { UserError } from '../common/exit-codes.ts';
import type { OpenConnections } from '../flow/flow-table.ts';
import type { FlushBatch } from '../flow/records.ts';
import { MAX_SPOOLED_BUCKETS, partsOf } from './batch-parts.ts';
import type { Sink, WriteOutcome } from './cmdb-sink.ts';
import type { Position } from './open-connections.ts';
import { ForeignFormat, readSpoolHeader, readSpoolParts, writeSpoolFile } from './spool-file.ts';

const SUFFIX = '.batch';
/** Of files of earlier agents; more means that the agent was restarted again and again. */
const MAX_BYTES = 1024 * 1024 * 1024;

export interface SpoolOptions {
  readonly maxBytes?: number;
}

/** What an earlier agent knew of the connections that were open, and when it began. */
export interface Predecessor {
  readonly epoch: number;
  readonly bootId: string | null;
  readonly open: OpenConnections;
  readonly position: Position | null;
}

/**
 * Keeps on disk what the CMDB may not have yet: a file for each agent that left something. An agent
 * writes its own before each attempt to write to the CMDB. So the next one can write it again, under
 * the same epoch, and knows which open connections are counted in it, also when this one is killed
 * before it learns what became of the attempt.
 */
export class Spool {
  readonly #directory: string;
  readonly #log: pino.Logger;
  readonly #maxBytes: number;
  /** The current agent's own file. */
  #own: string | null = null;
  /** So that a full disk is told once. */
  #fails = false;
  readonly #told = new Set<string>();
  #lost = 0;

  constructor(dataDir: string, log: pino.Logger, { maxBytes = MAX_BYTES }: SpoolOptions = {}) {
    this.#directory = join(dataDir, 'spool');
    this.#log = log;
    this.#maxBytes = maxBytes;
  }

  /** Nothing that earlier agents left waits. */
  get isEmpty(): boolean {
    return this.#waiting().length === 0;
  }

  /** Files that were given up: damaged, refused by the CMDB, or too many. */
  get lost(): number {
    return this.#lost;
  }

  /** What the latest agent whose file is readable left. */
  latest(): Predecessor | null {
    for (const path of this.#waiting().reverse()) {
      try {
        return readSpoolHeader(path);
      } catch {
        // Told when it is to be written.
      }
    }
    return null;
  }

  /**
   * Keeps what waits of the current agent, in place of what it kept before.
   * @returns false where the disk does not take it; what was kept before is still there then
   */
  put(batch: FlushBatch, open: OpenConnections, position: Position | null = null): boolean {
    const { epoch, host } = batch;
    const path = join(this.#directory, `${epoch}${SUFFIX}`);
    this.#own = path;
    try {
      mkdirSync(this.#directory, { recursive: true });
      const { hostId, bootId } = host;
      const header = { epoch, hostId, bootId, open, position };
      writeSpoolFile(`${path}.new`, header, partsOf(batch, MAX_SPOOLED_BUCKETS));
      renameSync(`${path}.new`, path);
      if (this.#fails) this.#log.info({ path }, 'the disk takes the spool again');
      this.#fails = false;
      return true;
    } catch (error) {
      removeDraft(`${path}.new`);
      const level = this.#fails ? 'debug' : 'error';
      this.#log[level](
        { path, flows: batch.flows.length, err: error },
        "can't spool: what the CMDB does not get before the agent ends is lost",
      );
      this.#fails = true;
      return false;
    }
  }

  /** The CMDB has all that the current agent kept. */
  drop(): void {
    if (this.#own !== null) rmSync(this.#own, { force: true });
    this.#own = null;
  }

  /**
   * Writes what earlier agents left, oldest first.
   * @returns false when the CMDB went away over it
   */
  async drain(sink: Pick<Sink, 'write'>): Promise<boolean> {
    for (const path of this.#waiting()) {
      if (this.#told.has(path)) continue;
      if (!(await this.#drainFile(path, sink))) return false;
    }
    return true;
  }

  /**
   * To be called at the start. Removes what an agent was writing when it was killed, and of what
   * earlier agents left the oldest when there is too much.
   */
  trim(): void {
    for (const path of this.#files(`${SUFFIX}.new`)) rmSync(path, { recursive: true, force: true });
    const paths = this.#waiting();
    let total = paths.reduce((sum, path) => sum + statSync(path).size, 0);
    for (const path of paths) {
      if (total <= this.#maxBytes) return;
      total -= statSync(path).size;
      this.#giveUp(path, new Error(`more than ${this.#maxBytes} bytes are spooled`));
    }
  }

  /** @returns false when it is to be tried again later */
  async #drainFile(path: string, sink: Pick<Sink, 'write'>): Promise<boolean> {
    let flows = 0;
    try {
      for (const part of readSpoolParts(path)) {
        const outcome = await this.#write(part, sink);
        if (outcome === 'unavailable' || outcome === 'maybe-written') return false;
        if (outcome !== 'written' && outcome !== 'replaced') {
          throw new Error(`the CMDB takes no spooled batch: ${outcome}`);
        }
        flows += part.flows.length;
      }
      this.#log.info({ path, flows }, 'wrote what was spooled');
      rmSync(path, { force: true });
    } catch (error) {
      if (error instanceof UserError) throw error; // this program can't use the CMDB
      this.#giveUp(path, error);
    }
    return true;
  }

  async #write(part: FlushBatch, sink: Pick<Sink, 'write'>): Promise<WriteOutcome> {
    const outcome = await sink.write(part);
    // Refers to rows that went with the CMDB that was there before.
    return outcome === 'lost-all' ? await sink.write(part) : outcome;
  }

  #giveUp(path: string, error: unknown): void {
    if (error instanceof ForeignFormat) {
      // Another version left it, and may come back.
      this.#told.add(path);
      this.#log.warn({ path, reason: error.message }, 'spooled by another version: left alone');
      return;
    }
    this.#lost += 1;
    this.#log.error({ path, err: error }, 'what was spooled is damaged or refused: it is lost');
    rmSync(path, { force: true });
  }

  /** Paths of the files of earlier agents, oldest first. */
  #waiting(): string[] {
    return this.#files(SUFFIX).filter((path) => path !== this.#own);
  }

  #files(suffix: string): string[] {
    let names: string[];
    try {
      names = readdirSync(this.#directory).filter((name) => name.endsWith(suffix));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    }
    return names
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
      .map((name) => join(this.#directory, name));
  }
}

/** What it took of a full disk. */
function removeDraft(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The disk refuses that as well; the failure to write is told.
  }
}
