import type { FlowTable, TakenFlows } from '../flow/flow-table.ts';
import type { CoverageRecord, FlushBatch, HostRecord } from '../flow/records.ts';
import type { WriteOutcome } from './cmdb-sink.ts';
import type { CoverageTracker } from './coverage-tracker.ts';
import type { Inventory, InventoryRecords } from './inventory.ts';

interface Taken {
  readonly batch: FlushBatch;
  readonly flows: TakenFlows;
  readonly inventory: InventoryRecords;
  readonly coverage: readonly CoverageRecord[];
}

export interface LedgerParts {
  readonly host: HostRecord;
  /** The agent's start, milliseconds since 1970. */
  readonly epoch: number;
  readonly table: FlowTable;
  readonly inventory: Inventory;
  readonly coverage: CoverageTracker;
  /** History that may wait while the CMDB is away, in buckets of single flows. */
  readonly maxWaitingBuckets?: number;
}

/**
 * About 50 MB, and twice that while they are written: an hour and a half of 10,000 flows that stay
 * open in buckets of five minutes; then hours, then days.
 */
const MAX_WAITING_BUCKETS = 200_000;

/** How far the writing of a batch got. */
export interface Progress {
  /** So many flows, from the first, were written, and what flows refer to with them. */
  readonly writtenFlows: number;
  /** So many were refused: they are lost. */
  readonly rejectedFlows: number;
}

const NOTHING: Progress = { writtenFlows: 0, rejectedFlows: 0 };

/** Makes batches of what changed, and takes back what was not written. One batch at a time. */
export class Ledger {
  readonly #parts: LedgerParts;
  #taken: Taken | null = null;
  #droppedBuckets = 0;
  #coarsenedBuckets = 0;
  #rejectedFlows = 0;
  #overflowed = 0n;

  constructor(parts: LedgerParts) {
    this.#parts = parts;
  }

  get epoch(): number {
    return this.#parts.epoch;
  }

  /** Buckets of single flows that were given up because the CMDB was away too long. */
  get droppedBuckets(): number {
    return this.#droppedBuckets;
  }

  /** Buckets of single flows that went into longer ones for the same reason. */
  get coarsenedBuckets(): number {
    return this.#coarsenedBuckets;
  }

  /** Flows in batches that the CMDB refused. */
  get rejectedFlows(): number {
    return this.#rejectedFlows;
  }

  /** Nothing waits to be written but that this host was watched on. */
  isQuiet(nowMs: number): boolean {
    const { table, inventory, coverage } = this.#parts;
    if (this.#taken !== null || table.overflowed !== this.#overflowed) return false;
    return coverage.isQuiet && !table.isDirty && inventory.isUnchanged(nowMs);
  }

  /**
   * All that the CMDB does not have yet. A batch taken before and not settled by now counts as not
   * written, whatever becomes of it: totals are absolute, so writing both changes nothing.
   */
  take(nowMs: number): FlushBatch {
    if (this.#taken !== null) this.settle(this.#taken.batch, 'maybe-written');
    const { host, epoch, table, inventory, coverage } = this.#parts;
    this.#noteOverflow();
    const flows = table.takeChanged();
    const records = inventory.take(nowMs);
    const intervals = coverage.takeChanged();
    const batch: FlushBatch = {
      host,
      epoch,
      at: new Date(nowMs),
      ...records,
      flows: flows.records,
      coverage: intervals,
    };
    this.#taken = { batch, flows, inventory: records, coverage: intervals };
    return batch;
  }

  /** Says what became of a batch; of one that is no longer the current one it is of no interest. */
  settle(batch: FlushBatch, outcome: WriteOutcome, progress: Progress = NOTHING): void {
    const taken = this.#taken;
    if (taken?.batch !== batch) return;
    this.#taken = null;
    if (progress.rejectedFlows > 0) this.#rejected(taken, progress.rejectedFlows);
    switch (outcome) {
      case 'written':
        this.#written();
        break;
      case 'rejected':
        if (progress.rejectedFlows === 0) this.#rejected(taken, batch.flows.length);
        this.#written();
        break;
      case 'unavailable':
        this.#failed(taken, { ...progress, maybeWritten: false });
        break;
      case 'maybe-written':
        this.#failed(taken, { ...progress, maybeWritten: true });
        break;
      case 'replaced':
      case 'lost-all':
        this.#failed(taken, { ...NOTHING, maybeWritten: outcome === 'replaced' });
        this.#parts.table.markAll();
        this.#parts.inventory.forgetWritten();
        break;
    }
  }

  /** What found the table full is lost as well. */
  #noteOverflow(): void {
    const { table, coverage } = this.#parts;
    const more = table.overflowed - this.#overflowed;
    this.#overflowed = table.overflowed;
    if (more > 0n) coverage.lose(more);
  }

  /** What was refused is lost; what it referred to is handed over again when it is met anew. */
  #rejected({ inventory }: Taken, flows: number): void {
    this.#rejectedFlows += flows;
    this.#parts.inventory.rejected(inventory);
    this.#parts.coverage.lose(BigInt(flows));
  }

  #written(): void {
    const { table, inventory, coverage } = this.#parts;
    table.written();
    inventory.written();
    coverage.written();
  }

  #failed(taken: Taken, progress: Progress & { readonly maybeWritten: boolean }): void {
    const { table, inventory, coverage } = this.#parts;
    table.failed(taken.flows, progress);
    inventory.failed(taken.inventory);
    coverage.failed(taken.coverage);
    this.bound();
  }

  /**
   * Keeps what waits within its bound; coverage says of which time history is coarser than usual, and
   * of which nothing is known. Not while a batch is out.
   */
  bound(): void {
    const { table, coverage, maxWaitingBuckets = MAX_WAITING_BUCKETS } = this.#parts;
    const { coarsened, dropped } = table.bound(maxWaitingBuckets);
    this.#coarsenedBuckets += coarsened;
    if (coarsened > 0) coverage.remark('history in longer slices: the CMDB was away long');
    if (dropped === null) return;
    this.#droppedBuckets += dropped.count;
    const { fromMs, toMs } = dropped;
    coverage.gap(fromMs, toMs, 'history given up: the CMDB was away too long');
  }
}
