import type { HelperSupervisor } from '../bpf-ts-loader/index.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { FlushBatch } from '../flow/records.ts';
import { partsOf } from './batch-parts.ts';
import type { Sink, WriteOutcome } from './cmdb-sink.ts';
import type { Ledger, Progress } from './ledger.ts';
import type { Mark } from './mark.ts';
import type { Legacy, OpenConnectionsFile } from './open-connections.ts';
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
  readonly mark: Mark;
  readonly supervisor: Pick<HelperSupervisor, 'acknowledge'>;
}

/** While the CMDB can't be reached, spooling takes at most one part of so many of the time. */
const PUT_SHARE = 100;

interface Attempt extends Progress {
  readonly outcome: WriteOutcome;
}

/**
 * Hands what changed to the CMDB. What it may not have yet is put on disk before each attempt, so
 * that nothing is lost or counted twice however the agent ends.
 */
export class Flusher {
  readonly #parts: FlusherParts;
  #flushing: Promise<WriteOutcome> | null = null;
  #isDrained = false;
  #isClosing = false;
  #putAtMs = Number.NEGATIVE_INFINITY;
  #putTookMs = 0;

  constructor(parts: FlusherParts) {
    this.#parts = parts;
  }

  get isBusy(): boolean {
    return this.#flushing !== null;
  }

  /** A flush would tell the CMDB no more than that this host was watched on. */
  get isQuiet(): boolean {
    const { ledger, sink, remains } = this.#parts;
    const isDrained = this.#isDrained || remains === null;
    return isDrained && !this.isBusy && sink.outage === null && ledger.isQuiet(Date.now());
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

  /** Between attempts while the CMDB is away: keeps what waits within its bound. */
  hold(): void {
    if (!this.isBusy && !this.#isClosing) this.#parts.ledger.bound();
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
    const { ledger, remains } = this.#parts;
    const legacy = this.#legacy();
    const batch = ledger.take(Date.now());
    if (batch.flows.length === 0 && batch.coverage.length === 0) return;
    remains?.spool.put(batch, legacy.open, legacy.position);
    const leftMs = withinMs - (performance.now() - startedMs);
    const attempt = await this.#lastAttempt(batch, leftMs);
    ledger.settle(batch, attempt.outcome, attempt);
    if (attempt.outcome === 'replaced' || attempt.outcome === 'lost-all') {
      remains?.spool.put(ledger.take(Date.now()), legacy.open, legacy.position);
    } else if (isSettled(attempt.outcome)) {
      this.#settled(legacy);
    }
  }

  /** Keeps what waits on disk without an attempt to write it. */
  keep(): void {
    this.#isClosing = true;
    const { ledger, remains } = this.#parts;
    const legacy = this.#legacy();
    const batch = ledger.take(Date.now());
    if (batch.flows.length > 0 || batch.coverage.length > 0)
      remains?.spool.put(batch, legacy.open, legacy.position);
  }

  async #lastAttempt(batch: FlushBatch, leftMs: number): Promise<Attempt> {
    const given: Attempt = { outcome: 'maybe-written', writtenFlows: 0, rejectedFlows: 0 };
    const { remains } = this.#parts;
    if (this.isBusy || (remains !== null && !remains.spool.isEmpty)) return given;
    return (
      (await within(
        leftMs,
        this.#write(batch).catch(() => given),
      )) ?? given
    );
  }

  async #flush(): Promise<WriteOutcome> {
    const { ledger, sink } = this.#parts;
    const isReached = (await sink.connect()) && (await this.#drain());
    if (this.#isClosing) return 'unavailable';
    const legacy = this.#legacy();
    const batch = ledger.take(Date.now());
    // Before the write: if its answer is lost and the agent with it, this says what it counted.
    if (batch.flows.length > 0 && (isReached || this.#mayPut())) this.#put(batch, legacy);
    let attempt: Attempt = { outcome: 'unavailable', writtenFlows: 0, rejectedFlows: 0 };
    try {
      if (isReached) attempt = await this.#write(batch);
    } finally {
      ledger.settle(batch, attempt.outcome, attempt);
    }
    if (isSettled(attempt.outcome) && !this.#isClosing) this.#settled(legacy);
    return attempt.outcome;
  }

  /** What a successor has to know once it has the batch that is taken now. */
  #legacy(): Legacy {
    const { table, mark } = this.#parts;
    return { open: table.openConnections(), position: mark.position };
  }

  /** What the disk or the CMDB has, the kernel need not keep. */
  #acknowledge({ position }: Legacy): void {
    const { mark, supervisor } = this.#parts;
    if (position === null || position.setId !== mark.position?.setId) return;
    supervisor.acknowledge(position.generation);
  }

  #put(batch: FlushBatch, legacy: Legacy): void {
    const startedMs = performance.now();
    const { remains } = this.#parts;
    if (remains?.spool.put(batch, legacy.open, legacy.position)) this.#acknowledge(legacy);
    this.#putAtMs = performance.now();
    this.#putTookMs = this.#putAtMs - startedMs;
  }

  /** While nothing can be committed the disk is only for an agent that is killed: it may cost little. */
  #mayPut(): boolean {
    return performance.now() - this.#putAtMs >= PUT_SHARE * this.#putTookMs;
  }

  /** In transactions of limited size, as far as the CMDB takes them. */
  async #write(batch: FlushBatch): Promise<Attempt> {
    let [writtenFlows, rejectedFlows] = [0, 0];
    for (const part of partsOf(batch)) {
      const outcome = await this.#parts.sink.write(part);
      if (outcome === 'rejected') rejectedFlows += Math.max(1, part.flows.length);
      else if (outcome !== 'written') return { outcome, writtenFlows, rejectedFlows };
      writtenFlows += part.flows.length;
    }
    return { outcome: rejectedFlows > 0 ? 'rejected' : 'written', writtenFlows, rejectedFlows };
  }

  /** The CMDB has all there was. The spool goes only once something else says what was open. */
  #settled(legacy: Legacy): void {
    const { remains } = this.#parts;
    if (remains?.openConnections.save(legacy.open, legacy.position)) remains.spool.drop();
    this.#acknowledge(legacy);
  }

  /** @returns false when the CMDB went away */
  async #drain(): Promise<boolean> {
    const { sink, remains } = this.#parts;
    if (this.#isDrained || remains === null) return true;
    this.#isDrained = await remains.spool.drain(sink);
    return this.#isDrained;
  }
}

function isSettled(outcome: WriteOutcome): boolean {
  return outcome === 'written' || outcome === 'rejected';
}
