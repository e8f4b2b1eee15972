import type { FlowTable, TakenFlows } from '../flow/flow-table.ts';
import type { CoverageRecord, FlowRecord, FlushBatch, HostRecord } from '../flow/records.ts';
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

/** About 100 MB; four hours of 10,000 flows that stay open, in buckets of five minutes. */
const MAX_WAITING_BUCKETS = 500_000;

/** Makes batches of what changed, and takes back what was not written. One batch at a time. */
export class Ledger {
  readonly #parts: LedgerParts;
  #taken: Taken | null = null;
  #droppedBuckets = 0;

  constructor(parts: LedgerParts) {
    this.#parts = parts;
  }

  /** Buckets of single flows that were given up because the CMDB was away too long. */
  get droppedBuckets(): number {
    return this.#droppedBuckets;
  }

  /**
   * All that the CMDB does not have yet. A batch taken before and not settled by now counts as not
   * written, whatever becomes of it: totals are absolute, so writing both changes nothing.
   */
  take(nowMs: number): FlushBatch {
    if (this.#taken !== null) this.settle(this.#taken.batch, 'unavailable');
    const { host, epoch, table, inventory, coverage } = this.#parts;
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
  settle(batch: FlushBatch, outcome: WriteOutcome): void {
    const taken = this.#taken;
    if (taken?.batch !== batch) return;
    this.#taken = null;
    switch (outcome) {
      case 'written':
        this.#written();
        break;
      case 'rejected':
        this.#written();
        this.#parts.inventory.rejected(taken.inventory);
        break;
      case 'unavailable':
        this.#failed(taken);
        break;
      case 'lost-all':
        this.#failed(taken);
        this.#parts.table.markAll();
        this.#parts.inventory.forgetWritten();
        break;
    }
  }

  #written(): void {
    const { table, inventory, coverage } = this.#parts;
    table.written();
    inventory.written();
    coverage.written();
  }

  #failed(taken: Taken): void {
    const { table, inventory, coverage } = this.#parts;
    table.failed(this.#bounded(taken.flows));
    inventory.failed(taken.inventory);
    coverage.failed(taken.coverage);
  }

  /**
   * Without the oldest history, when too much waits. Coverage says of that time that nothing is
   * known; the current buckets stay.
   */
  #bounded(flows: TakenFlows): TakenFlows {
    const { coverage, maxWaitingBuckets = MAX_WAITING_BUCKETS } = this.#parts;
    const slices = slicesOf(flows.records);
    let waiting = slices.reduce((sum, { count }) => sum + count, 0);
    let keepFromMs = Number.NEGATIVE_INFINITY;
    for (const { startMs, endMs, count } of slices.slice(0, -1)) {
      if (waiting <= maxWaitingBuckets) break;
      waiting -= count;
      keepFromMs = endMs;
      this.#droppedBuckets += count;
      coverage.gap(startMs, endMs, 'history given up: the CMDB was away too long');
    }
    if (keepFromMs === Number.NEGATIVE_INFINITY) return flows;
    const taken = flows.taken.map(({ flow, buckets }) => ({
      flow,
      buckets: buckets.filter((bucket) => bucket.startMs >= keepFromMs),
    }));
    return { ...flows, taken };
  }
}

interface Slice {
  readonly startMs: number;
  readonly endMs: number;
  count: number;
}

/** Slices of time that buckets of these flows cover, oldest first. */
function slicesOf(records: readonly FlowRecord[]): Slice[] {
  const slices = new Map<number, Slice>();
  for (const { buckets } of records) {
    for (const { bucketStart, bucketSeconds } of buckets) {
      const startMs = bucketStart.getTime();
      const slice = slices.get(startMs) ?? {
        startMs,
        endMs: startMs + bucketSeconds * 1_000,
        count: 0,
      };
      slice.count += 1;
      slices.set(startMs, slice);
    }
  }
  return [...slices.values()].sort((a, b) => a.startMs - b.startMs);
}
