import type { FlushBatch } from '../flow/records.ts';

/** Most buckets of single flows that are serialized at once: about half a megabyte. */
export const MAX_SPOOLED_BUCKETS = 2_000;

/**
 * Most buckets of single flows in one transaction: seconds of work for a slow CMDB, well within the
 * time limits of the writer, however much has waited.
 */
export const MAX_PART_BUCKETS = 20_000;

/**
 * Splits a batch into transactions. What flows refer to comes with the first; coverage with the last,
 * so that no time counts as watched before all that was seen in it is there.
 */
export function* partsOf(
  batch: FlushBatch,
  maxBuckets: number = MAX_PART_BUCKETS,
): Generator<FlushBatch> {
  let from = 0;
  let index = 0;
  do {
    const to = endOfPart(batch, from, maxBuckets);
    yield partOf(batch, from, to, index);
    from = to;
    index += 1;
  } while (from < batch.flows.length);
}

function endOfPart({ flows }: FlushBatch, from: number, maxBuckets: number): number {
  let buckets = 0;
  let to = from;
  for (; to < flows.length; to++) {
    buckets += flows[to]?.buckets.length ?? 0;
    if (buckets > maxBuckets && to > from) break;
  }
  return to;
}

function partOf(batch: FlushBatch, from: number, to: number, index: number): FlushBatch {
  const isLast = to >= batch.flows.length;
  const inventory =
    index === 0 ? {} : { addresses: [], containers: [], processes: [], passiveNodes: [] };
  return {
    ...batch,
    ...inventory,
    // Each has a time of its own: by it the CMDB tells whether it knew the host before.
    at: new Date(batch.at.getTime() + index),
    flows: batch.flows.slice(from, to),
    coverage: isLast ? batch.coverage : [],
  };
}
