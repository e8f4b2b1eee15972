import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pino from 'pino';
import type { OpenConnections } from '../flow/flow-table.ts';

const FILE = 'open-connections.json';

/**
 * Remembers from one agent to the next which connections were counted and are still open, so that
 * the next one's first snapshot does not count them again. Means nothing after a reboot.
 */
export class OpenConnectionsFile {
  readonly #path: string;
  readonly #bootId: string | null;
  readonly #log: pino.Logger;
  #saved = '';
  /** So that a full disk is told once. */
  #fails = false;

  constructor(dataDir: string, bootId: string | null, log: pino.Logger) {
    this.#path = join(dataDir, FILE);
    this.#bootId = bootId;
    this.#log = log;
  }

  /** What the previous agent of this boot left open; empty when there was none. */
  load(): OpenConnections {
    let parsed: unknown;
    try {
      parsed = JSON.parse(readFileSync(this.#path, 'utf8'));
    } catch {
      return {}; // absent, or cut short by a crash: then some are counted once more
    }
    if (typeof parsed !== 'object' || parsed === null) return {};
    return this.ofThisBoot(parsed as Record<string, unknown>);
  }

  /** What is open of what an agent noted; nothing when that was before a reboot. */
  ofThisBoot({ bootId, open }: { readonly bootId?: unknown; readonly open?: unknown }) {
    if (this.#bootId === null || bootId !== this.#bootId) return {};
    if (typeof open !== 'object' || open === null) return {};
    return Object.fromEntries(
      Object.entries(open).filter(
        (entry): entry is [string, number] => Number.isSafeInteger(entry[1]) && entry[1] > 0,
      ),
    );
  }

  /**
   * Writes what is open, if it changed. Where the disk does not take it, tracing goes on.
   * @returns whether it is on disk
   */
  save(open: OpenConnections): boolean {
    const text = JSON.stringify({ bootId: this.#bootId, open });
    if (text === this.#saved) return true;
    try {
      writeFileSync(`${this.#path}.new`, text);
      renameSync(`${this.#path}.new`, this.#path);
      this.#saved = text;
      this.#fails = false;
      return true;
    } catch (error) {
      removeDraft(`${this.#path}.new`);
      const level = this.#fails ? 'debug' : 'warn';
      this.#log[level](
        { err: error },
        "can't note open connections: the next agent counts them anew",
      );
      this.#fails = true;
      return false;
    }
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
