import type { FlowTable, TakenFlows } from '../flow/flow-table.ts';
import type { CoverageRecord, FlushBatch, HostRecord } from '../flow/records.ts';
import type { WriteOutcome } from './cmdb-sink.ts';
import type { CoverageTracker } from './coverage-tracker.ts';
import type { Inventory, InventoryRecords } from './inventory.ts';

interface Taken {
  readonly flows: TakenFlows;
  readonly inventory: InventoryRecords;
  readonly coverage: readonly CoverageRecord[];
}

export interface LedgerParts {
  readonly host: HostRecord;
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

  take(nowMs: number): FlushBatch {
    const { host, epoch, table, inventory, coverage } = this.#parts;
    const flows = table.takeChanged();
    const records = inventory.take(nowMs);
    const taken = { flows, inventory: records, coverage: coverage.takeChanged() };
    this.#taken = taken;
    return {
      host,
      epoch,
      at: new Date(nowMs),
      ...records,
      flows: flows.records,
      coverage: taken.coverage,
    };
  }

  settle(outcome: WriteOutcome): void {
    const { table, inventory, coverage } = this.#parts;
    const taken = this.#taken;
    this.#taken = null;
    if (taken === null) return;
    if (outcome === 'written' || outcome === 'rejected') {
      table.written();
      inventory.written(taken.inventory);
      coverage.written();
      return;
    }
    table.failed(taken.flows);
    inventory.failed(taken.inventory);
    coverage.failed(taken.coverage);
    if (outcome === 'lost-all') {
      table.markAll();
      inventory.forgetWritten();
    }
  }
}
