import type { FlowTable } from '../flow/flow-table.ts';
import type { Sink, WriteOutcome } from './cmdb-sink.ts';
import type { Ledger } from './ledger.ts';
import type { OpenConnectionsFile } from './open-connections.ts';
import type { Spool } from './spool.ts';
import { within } from './within.ts';

/** What must outlive the agent; nothing must where nobody keeps what is traced. */
export interface Remains {
  readonly spool: Spool;
  readonly openConnections: OpenConnectionsFile;
}

export interface FlusherParts {
  readonly ledger: Ledger;
  readonly table: FlowTable;
  readonly sink: Sink;
  readonly remains: Remains | null;
}

/** Hands what changed to the CMDB, and to the disk what it did not take before the end. */
export class Flusher {
  readonly #parts: FlusherParts;
  #flushing: Promise<WriteOutcome> | null = null;
  #isDrained = false;
  #isClosing = false;

  constructor(parts: FlusherParts) {
    this.#parts = parts;
  }

  get isBusy(): boolean {
    return this.#flushing !== null;
  }

  /**
   * Writes what earlier agents spooled, then what changed. While a flush is under way there is no
   * second one: its outcome is given.
   * @throws what no retry can mend
   */
  flush(): Promise<WriteOutcome> {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = null;
    });
    return this.#flushing;
  }

  /** The last flush, at most `withinMs` long: what is not written by then is spooled. */
  async last(withinMs: number): Promise<void> {
    const startedMs = performance.now();
    this.#isClosing = true;
    // What went wrong was told to whoever began it.
    if (this.#flushing !== null)
      await within(
        withinMs,
        this.#flushing.catch(() => undefined),
      );
    const { ledger, table, sink, remains } = this.#parts;
    const open = table.openConnections();
    const batch = ledger.take(Date.now());
    if (batch.flows.length === 0 && batch.coverage.length === 0) return;
    let outcome: WriteOutcome = 'unavailable';
    if (!this.isBusy && (remains === null || remains.spool.isEmpty)) {
      const leftMs = withinMs - (performance.now() - startedMs);
      const written = sink.write(batch).catch(() => 'unavailable' as const);
      outcome = (await within(leftMs, written)) ?? 'unavailable';
    }
    ledger.settle(batch, outcome);
    if (outcome === 'unavailable' || outcome === 'lost-all') {
      remains?.spool.put(ledger.take(Date.now()));
    }
    remains?.openConnections.save(open);
  }

  async #flush(): Promise<WriteOutcome> {
    const { ledger, table, sink, remains } = this.#parts;
    const isDrained = await this.#drain();
    if (this.#isClosing) return 'unavailable';
    if (!isDrained) {
      ledger.settle(ledger.take(Date.now()), 'unavailable'); // bounds what waits
      return 'unavailable';
    }
    const open = table.openConnections();
    const batch = ledger.take(Date.now());
    let outcome: WriteOutcome = 'unavailable';
    try {
      outcome = await sink.write(batch);
    } finally {
      ledger.settle(batch, outcome);
    }
    if (outcome === 'written' && !this.#isClosing) remains?.openConnections.save(open);
    return outcome;
  }

  /** @returns false when the CMDB is away */
  async #drain(): Promise<boolean> {
    const { sink, remains } = this.#parts;
    if (this.#isDrained || remains === null) return true;
    this.#isDrained = (await sink.connect()) && (await remains.spool.drain(sink));
    return this.#isDrained;
  }
}
