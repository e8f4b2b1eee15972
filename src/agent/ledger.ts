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
}

/** Makes batches of what changed, and takes back what was not written. One batch at a time. */
export class Ledger {
  readonly #parts: LedgerParts;
  #taken: Taken | null = null;

  constructor(parts: LedgerParts) {
    this.#parts = parts;
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
    table.failed(taken.flows);
    inventory.failed(taken.inventory);
    coverage.failed(taken.coverage);
  }
}
