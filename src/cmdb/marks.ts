import type { FlowBucketRecord, FlowRecord } from '../flow/records.ts';

const USED = 1;
const FAILED = 2;

/**
 * Which flows are marked in `flow_days` already for the newest bucket. Most flushes add to buckets
 * that an earlier one marked: to mark them again would lock each row, and change nothing.
 */
export class Marks {
  #newestMs = Number.NEGATIVE_INFINITY;
  /** Bits, by flow id. */
  #marked = new Map<string, number>();

  /** Forgets all: the database may be another one. */
  clear(): void {
    this.#newestMs = Number.NEGATIVE_INFINITY;
    this.#marked = new Map();
  }

  /** Ids of the flows that have something to mark. */
  missing(flows: readonly FlowRecord[]): string[] {
    return flows
      .filter(({ flowId, buckets }) => buckets.some((bucket) => !this.#has(flowId, bucket)))
      .map(({ flowId }) => flowId);
  }

  /** These flows are marked now, and that is committed. */
  add(flows: readonly FlowRecord[]): void {
    for (const { flowId, buckets } of flows) {
      for (const bucket of buckets) {
        const startMs = bucket.bucketStart.getTime();
        if (startMs < this.#newestMs) continue;
        if (startMs > this.#newestMs) this.clear();
        this.#newestMs = startMs;
        this.#marked.set(flowId, (this.#marked.get(flowId) ?? 0) | bitsOf(bucket));
      }
    }
  }

  #has(flowId: string, bucket: FlowBucketRecord): boolean {
    const bits = bitsOf(bucket);
    if (bits === 0) return true;
    if (bucket.bucketStart.getTime() !== this.#newestMs) return false;
    return ((this.#marked.get(flowId) ?? 0) & bits) === bits;
  }
}

/** As the statement that marks has it. */
function bitsOf(bucket: FlowBucketRecord): number {
  const { opened, openAtStart, openNow } = bucket;
  const { failedRefused, failedTimedOut, failedUnreachable, failedOther } = bucket;
  const isUsed = opened > 0 || openAtStart > 0 || openNow > 0;
  const isFailed =
    failedRefused > 0 || failedTimedOut > 0 || failedUnreachable > 0 || failedOther > 0;
  return (isUsed ? USED : 0) | (isFailed ? FAILED : 0);
}
