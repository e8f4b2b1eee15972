import type { Bucket } from './bucket.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** A flow as far as its waiting history is concerned. */
export interface WaitingFlow {
  /** Buckets that wait to be written, the current one among them. */
  readonly waiting: number;
  /** Past ones among them. */
  readonly pastWaiting: readonly Bucket[];
  /** @returns by how many buckets fewer wait now */
  coarsen(beforeMs: number, slotMs: number, bucketMs: number): number;
  /** @returns by how many buckets fewer wait now */
  dropBefore(startMs: number): number;
}

export interface BacklogLimits {
  readonly maxBuckets: number;
  /** Usual length of a bucket. */
  readonly bucketMs: number;
  /** Start of the current bucket. */
  readonly currentMs: number;
}

/** What had to be done so that no more waits than may. */
export interface Bounded {
  /** Buckets that went into longer ones; their totals are kept. */
  readonly coarsened: number;
  /** Buckets given up, and the time they covered; null when none was. */
  readonly dropped: {
    readonly count: number;
    readonly fromMs: number;
    readonly toMs: number;
  } | null;
}

/**
 * Keeps the history that waits within a bound, however long the CMDB is away: buckets become hours,
 * then days, so that a flow has one a day and the current one. Only when even that is too much, the
 * oldest is given up.
 */
export function boundBacklog(flows: Iterable<WaitingFlow>, limits: BacklogLimits): Bounded {
  const { maxBuckets, bucketMs, currentMs } = limits;
  const all = [...flows].filter((flow) => flow.waiting > 0);
  const before = all.reduce((sum, flow) => sum + flow.waiting, 0);
  let waiting = before;
  const hourMs = Math.floor(currentMs / HOUR_MS) * HOUR_MS;
  const steps = [
    { beforeMs: hourMs, slotMs: HOUR_MS },
    { beforeMs: hourMs, slotMs: DAY_MS },
    { beforeMs: currentMs, slotMs: DAY_MS },
  ];
  for (const { beforeMs, slotMs } of steps) {
    if (waiting <= maxBuckets) break;
    if (slotMs <= bucketMs) continue;
    for (const flow of all) waiting -= flow.coarsen(beforeMs, slotMs, bucketMs);
  }
  return { coarsened: before - waiting, dropped: dropOldest(all, waiting - maxBuckets, bucketMs) };
}

function dropOldest(
  flows: readonly WaitingFlow[],
  excess: number,
  bucketMs: number,
): Bounded['dropped'] {
  if (excess <= 0) return null;
  const past = flows
    .flatMap((flow) => flow.pastWaiting)
    .map(({ startMs, lengthMs }) => ({ startMs, endMs: startMs + (lengthMs ?? bucketMs) }))
    .sort((a, b) => a.startMs - b.startMs);
  const last = past[Math.min(excess, past.length) - 1];
  const first = past[0];
  if (first === undefined || last === undefined) return null;
  let count = 0;
  for (const flow of flows) count += flow.dropBefore(last.startMs + 1);
  const given = past.filter(({ startMs }) => startMs <= last.startMs);
  const toMs = given.reduce((latest, { endMs }) => Math.max(latest, endMs), 0);
  return { count, fromMs: first.startMs, toMs };
}

/**
 * Merges runs of neighbours that lie in the same slot. Not what may have a row of its own already:
 * its totals would then be there twice. Buckets are in order.
 * @param slotMs divides a day, so that no bucket reaches into another day's partition
 */
export function coarsened(
  buckets: readonly Bucket[],
  { slotMs, bucketMs }: { readonly slotMs: number; readonly bucketMs: number },
): Bucket[] {
  const merged: Bucket[] = [];
  for (const bucket of buckets) {
    const previous = merged.at(-1);
    const fits =
      previous !== undefined &&
      !previous.mayHaveRow &&
      !bucket.mayHaveRow &&
      previous.epoch === bucket.epoch &&
      Math.floor(previous.startMs / slotMs) === Math.floor(bucket.startMs / slotMs);
    if (fits) merged.splice(-1, 1, previous.followedBy(bucket, bucketMs));
    else merged.push(bucket);
  }
  return merged;
}
