import { join } from 'node:path';
import type pg from 'pg';
import { Ttracerd } from '../support/commands.ts';
import { startTestPostgres, type TestPostgres, urlOf, withClient } from '../support/postgres.ts';
import { readCmdb, readJsonl, type Stored } from './stored.ts';

export const RUNGS = ['fentry', 'kprobe', 'tracepoint', 'poll'] as const;
export type Rung = (typeof RUNGS)[number];

/** Where a watcher leaves what it saw. */
export type Store =
  | { readonly kind: 'cmdb'; readonly postgres: TestPostgres }
  | { readonly kind: 'jsonl' };

export interface WatchOptions {
  readonly rung: Rung;
  readonly store: Store;
  /** For its data directory. */
  readonly directory: string;
  readonly wrapper?: readonly string[];
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const FLUSH_MS = 1_000;
const READY_TIMEOUT_MS = 60_000;

/** A real `ttracerd` on one rung, from its start to what it has stored in the end. */
export class Watch {
  readonly agent: Ttracerd;
  readonly #database: pg.ClientConfig | null;

  private constructor(agent: Ttracerd, database: pg.ClientConfig | null) {
    this.agent = agent;
    this.#database = database;
  }

  /** Starts it; {@link Watch.ready} tells when it watches. */
  static async start(options: WatchOptions): Promise<Watch> {
    const { rung, store, directory, wrapper = [], argv = [], env = {} } = options;
    const how = rung === 'poll' ? ['--mode', 'poll'] : ['--mode', 'stream', '--attach', rung];
    const database = store.kind === 'cmdb' ? await store.postgres.createDatabase() : null;
    const where =
      database === null ? ['--cmdb', 'none', '--output', 'jsonl'] : ['--cmdb', urlOf(database)];
    const data = ['--data-dir', join(directory, `agent-${rung}`)];
    // Totals of an idle flow that is printed begin anew after its bucket.
    const flush = ['--flush-interval', `${FLUSH_MS}ms`, '--bucket', '1d'];
    const agent = new Ttracerd([...how, ...where, ...data, ...flush, ...argv], { wrapper, env });
    return new Watch(agent, database);
  }

  async ready(): Promise<void> {
    await this.agent.logged('ready', READY_TIMEOUT_MS);
  }

  /** What it has stored by now. */
  async stored(): Promise<Stored> {
    if (this.#database === null) return readJsonl(wholeLines(this.agent.stdout), this.agent.log);
    return withClient(this.#database, readCmdb);
  }

  /** Asks until what is stored is as `done` wants it, or gives the last answer. */
  async settled(done: (stored: Stored) => boolean, timeoutMs: number): Promise<Stored> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const stored = await this.stored();
      if (done(stored) || performance.now() > deadlineMs) return stored;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Ends it as a service manager does and gives all that it stored. */
  async stop(): Promise<Stored> {
    const { code, stderr } = await this.agent.stop();
    if (code !== 0) throw new Error(`ttracerd ended with ${code}:\n${stderr}`);
    return this.stored();
  }

  kill(): Promise<void> {
    return this.agent.kill();
  }
}

function wholeLines(text: string): string {
  return text.slice(0, text.lastIndexOf('\n') + 1);
}

export async function cmdbStore(): Promise<Store & { readonly kind: 'cmdb' }> {
  return { kind: 'cmdb', postgres: await startTestPostgres() };
}
