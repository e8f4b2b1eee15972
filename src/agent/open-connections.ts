import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pino from 'pino';
import type { OpenConnections } from '../flow/flow-table.ts';
import type { KnownLosses } from './coverage-tracker.ts';

const FILE = 'open-connections.json';

/** Up to where counts that are kept in the kernel are in the flow table, or in the CMDB. */
export interface Position {
  /** The pinned programs; see `HelloFrame.setId`. */
  readonly setId: string;
  readonly generation: bigint;
  /** Time of the report, milliseconds since 1970. */
  readonly atMs: number;
  readonly known: KnownLosses;
}

/** What one agent leaves to the next. */
export interface Legacy {
  readonly open: OpenConnections;
  /** null: nothing was pinned. */
  readonly position: Position | null;
}

const NOTHING: Legacy = { open: {}, position: null };

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
  load(): Legacy {
    let parsed: unknown;
    try {
      parsed = JSON.parse(readFileSync(this.#path, 'utf8'));
    } catch {
      return NOTHING; // absent, or cut short by a crash: then some are counted once more
    }
    if (typeof parsed !== 'object' || parsed === null) return NOTHING;
    return this.ofThisBoot(parsed as Record<string, unknown>);
  }

  /** What an agent noted; nothing when that was before a reboot. */
  ofThisBoot(noted: {
    readonly bootId?: unknown;
    readonly open?: unknown;
    readonly position?: unknown;
  }): Legacy {
    if (this.#bootId === null || noted.bootId !== this.#bootId) return NOTHING;
    return { open: openOf(noted.open), position: positionOf(noted.position) };
  }

  /**
   * Writes what is open, if it changed. Where the disk does not take it, tracing goes on.
   * @returns whether it is on disk
   */
  save(open: OpenConnections, position: Position | null = null): boolean {
    const text = JSON.stringify({ bootId: this.#bootId, open, position }, withBigints);
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

function withBigints(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

function openOf(open: unknown): OpenConnections {
  if (typeof open !== 'object' || open === null) return {};
  return Object.fromEntries(
    Object.entries(open).filter(
      (entry): entry is [string, number] => Number.isSafeInteger(entry[1]) && entry[1] > 0,
    ),
  );
}

function positionOf(position: unknown): Position | null {
  if (typeof position !== 'object' || position === null) return null;
  const { setId, generation, atMs, known } = position as Record<string, unknown>;
  if (typeof setId !== 'string' || typeof atMs !== 'number') return null;
  const { lost, missedProbes } = (known ?? {}) as Record<string, unknown>;
  return {
    setId,
    generation: unsigned(generation),
    atMs,
    known: { lost: unsigned(lost), missedProbes: unsigned(missedProbes) },
  };
}

function unsigned(number: unknown): bigint {
  if (typeof number === 'bigint') return number;
  return typeof number === 'string' && /^[0-9]{1,20}$/.test(number) ? BigInt(number) : 0n;
}

/** What it took of a full disk. */
function removeDraft(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The disk refuses that as well; the failure to write is told.
  }
}
