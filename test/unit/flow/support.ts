import assert from 'node:assert/strict';
import type { FlowCounts } from '../../../src/bpf-ts-loader/index.ts';
import type { CountsEvent, FlowEndpoints } from '../../../src/events/event.ts';
import type { FlowBucketRecord, FlowRecord } from '../../../src/flow/records.ts';

export const HOST_ID = '6f1c2d3e-0000-4000-8000-000000000001';
export const BUCKET_MS = 1_000;
/** A time at which a bucket begins. */
export const START_MS = 1_700_000_000_000;

export const NOTHING: FlowCounts = {
  firstNs: 0n,
  lastNs: 0n,
  bytesSent: 0n,
  bytesReceived: 0n,
  opened: 0,
  found: 0,
  closed: 0,
  refused: 0,
  timedOut: 0,
  unreachable: 0,
  failedOther: 0,
  retransmits: 0,
};

export const ENDPOINTS: FlowEndpoints = {
  netns: 1,
  direction: 'active',
  local: '10.0.0.11',
  peer: '10.0.0.10',
  servicePort: 80,
  process: null,
};

/** A report on {@link ENDPOINTS}; times are in ms after {@link START_MS}. */
export function counted(
  counts: Partial<FlowCounts>,
  firstMs = 0,
  lastMs = firstMs,
  flow: Partial<FlowEndpoints> = {},
): CountsEvent {
  return {
    kind: 'counts',
    firstMs: START_MS + firstMs,
    lastMs: START_MS + lastMs,
    flow: { ...ENDPOINTS, ...flow },
    foundBy: ['stream'],
    counts: { ...NOTHING, ...counts },
  };
}

/** A history row without what is zero, its bucket in ms after {@link START_MS}. */
export function nonZero({ bucketStart, bucketSeconds: _, ...totals }: FlowBucketRecord) {
  const told = Object.entries(totals).filter(([, value]) => Number(value) !== 0);
  return { at: bucketStart.getTime() - START_MS, ...Object.fromEntries(told) };
}

export interface Row extends FlowBucketRecord {
  readonly epoch: number;
}

const TOTALS = [
  'opened',
  'openAtStart',
  'openMax',
  'failedRefused',
  'failedTimedOut',
  'failedUnreachable',
  'failedOther',
  'bytesToPassive',
  'bytesToActive',
  'retransmits',
] as const;

/** Keeps history rows as the CMDB does, and holds that totals of a row are absolute. */
export class FakeCmdb {
  readonly #rows = new Map<string, Map<string, Row>>();

  write(records: readonly FlowRecord[], epoch: number): void {
    for (const { flowId, buckets } of records) {
      const starts = buckets.map((bucket) => `${bucket.bucketStart.getTime()} ${bucket.epoch}`);
      assert.equal(new Set(starts).size, starts.length, 'a bucket twice in one batch');
      const rows = this.#rows.get(flowId) ?? new Map<string, Row>();
      this.#rows.set(flowId, rows);
      for (const bucket of buckets) this.#upsert(rows, { epoch, ...bucket });
    }
  }

  /** Sorted by bucket, then epoch. */
  rows(flowId: string): Row[] {
    return [...(this.#rows.get(flowId)?.values() ?? [])].sort(
      (a, b) => a.bucketStart.getTime() - b.bucketStart.getTime() || a.epoch - b.epoch,
    );
  }

  /** The rule of the queries: what opened in the range, and what was open when it began. */
  connections(flowId: string, sinceMs = 0): number {
    const rows = this.rows(flowId).filter((row) => row.bucketStart.getTime() >= sinceMs);
    return rows.reduce((sum, row) => sum + row.opened, rows[0]?.openAtStart ?? 0);
  }

  #upsert(rows: Map<string, Row>, row: Row): void {
    const key = `${row.bucketStart.getTime()} ${row.epoch}`;
    const known = rows.get(key);
    for (const total of TOTALS) {
      assert.ok(known === undefined || row[total] >= known[total], `${total} went back`);
    }
    rows.set(key, row);
  }
}
