import type {
  CoverageRecord,
  FlowBucketRecord,
  FlowRecord,
  FlushBatch,
  FoundBy,
} from '../flow/records.ts';
import { type CopyValue, storableText } from './copy-text.ts';

/** Bits of `flows.found_by`. */
export const FOUND_BY_BIT: Readonly<Record<FoundBy, number>> = {
  stream: 1,
  snapshot: 2,
  destroy: 4,
};

const INT4_MAX = 2_147_483_647;
const INT8_MAX = 9_223_372_036_854_775_807n;
const DAY_MS = 86_400_000;

/** Columns for `unnest`: one array per parameter. */
type Columns = readonly (readonly unknown[])[];

/** PostgreSQL's `inet` knows no IPv6 zone (`%eth0`). */
function inet(address: string): string {
  return storableText(address.replace(/%.*$/s, ''));
}

function int4(value: number): number {
  return Math.min(value, INT4_MAX);
}

/** `Math.max` knows no bigint. */
function larger(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}

function int8(value: bigint): bigint {
  if (value > INT8_MAX) return INT8_MAX;
  return value;
}

function lastByKey<T>(records: readonly T[], key: (record: T) => string): T[] {
  return [...new Map(records.map((record) => [key(record), record])).values()];
}

export function addressColumns({ addresses }: FlushBatch): Columns {
  return [
    addresses.map((a) => inet(a.address)),
    addresses.map((a) => storableText(a.netns)),
    addresses.map((a) => a.hostLocal),
    addresses.map((a) => a.firstSeen.toISOString()),
    addresses.map((a) => a.lastSeen.toISOString()),
  ];
}

export function containerColumns(batch: FlushBatch): Columns {
  const containers = lastByKey(batch.containers, (c) => storableText(c.containerId));
  return [
    containers.map((c) => storableText(c.containerId)),
    containers.map((c) => storableText(c.runtime)),
  ];
}

export function processColumns(batch: FlushBatch): Columns {
  const processes = lastByKey(batch.processes, (p) => p.processId);
  return [
    processes.map((p) => p.processId),
    processes.map((p) => storableText(p.name)),
    processes.map((p) => storableText(p.exe)),
    processes.map((p) => storableText(p.command)),
    processes.map((p) => storableText(p.unit)),
    processes.map((p) => (p.containerId === null ? null : storableText(p.containerId))),
    processes.map((p) => p.uid),
    processes.map((p) => storableText(p.userName)),
    processes.map((p) => p.pid),
    processes.map((p) => p.pgid),
  ];
}

export function passiveNodeColumns(batch: FlushBatch): Columns {
  const nodes = lastByKey(batch.passiveNodes, (n) => n.nodeId);
  return [
    nodes.map((n) => n.nodeId),
    nodes.map((n) => n.processId),
    nodes.map((n) => inet(n.address)),
    nodes.map((n) => n.port),
    nodes.map((n) => storableText(n.netns)),
    nodes.map((n) => n.firstSeen.toISOString()),
    nodes.map((n) => n.lastSeen.toISOString()),
  ];
}

function mergeCoverage(a: CoverageRecord, b: CoverageRecord): CoverageRecord {
  const [older, newer] = a.to <= b.to ? [a, b] : [b, a];
  return {
    ...newer,
    lost: larger(older.lost, newer.lost),
    missedProbes: larger(older.missedProbes, newer.missedProbes),
  };
}

export function coverageColumns(batch: FlushBatch): Columns {
  const byStart = new Map<number, CoverageRecord>();
  for (const record of batch.coverage) {
    const known = byStart.get(record.from.getTime());
    byStart.set(record.from.getTime(), known ? mergeCoverage(known, record) : record);
  }
  const coverage = [...byStart.values()];
  return [
    coverage.map((c) => c.from.toISOString()),
    coverage.map((c) => c.to.toISOString()),
    coverage.map((c) => c.mode),
    coverage.map((c) => c.attach),
    coverage.map((c) => c.gap),
    coverage.map((c) => int8(c.lost).toString()),
    coverage.map((c) => int8(c.missedProbes).toString()),
    coverage.map((c) => storableText(c.note)),
  ];
}

/** One record per flow id: a flow reported twice in a batch becomes the union of its reports. */
export function uniqueFlows(flows: readonly FlowRecord[]): FlowRecord[] {
  const byId = new Map<string, FlowRecord>();
  for (const flow of flows) {
    const known = byId.get(flow.flowId);
    byId.set(flow.flowId, known ? mergeFlows(known, flow) : flow);
  }
  return [...byId.values()];
}

function mergeFlows(a: FlowRecord, b: FlowRecord): FlowRecord {
  return {
    ...b,
    firstSeen: new Date(Math.min(a.firstSeen.getTime(), b.firstSeen.getTime())),
    lastSeen: new Date(Math.max(a.lastSeen.getTime(), b.lastSeen.getTime())),
    foundBy: [...new Set([...a.foundBy, ...b.foundBy])],
    buckets: [...a.buckets, ...b.buckets],
  };
}

function mergeBuckets(a: FlowBucketRecord, b: FlowBucketRecord): FlowBucketRecord {
  return {
    ...(b.epoch === undefined ? {} : { epoch: b.epoch }),
    bucketStart: b.bucketStart,
    bucketSeconds: Math.max(a.bucketSeconds, b.bucketSeconds),
    opened: Math.max(a.opened, b.opened),
    openAtStart: Math.max(a.openAtStart, b.openAtStart),
    openMax: Math.max(a.openMax, b.openMax),
    openNow: b.openNow,
    failedRefused: Math.max(a.failedRefused, b.failedRefused),
    failedTimedOut: Math.max(a.failedTimedOut, b.failedTimedOut),
    failedUnreachable: Math.max(a.failedUnreachable, b.failedUnreachable),
    failedOther: Math.max(a.failedOther, b.failedOther),
    bytesToPassive: larger(a.bytesToPassive, b.bytesToPassive),
    bytesToActive: larger(a.bytesToActive, b.bytesToActive),
    retransmits: Math.max(a.retransmits, b.retransmits),
  };
}

function uniqueBuckets(buckets: readonly FlowBucketRecord[]): readonly FlowBucketRecord[] {
  if (buckets.length < 2) return buckets;
  const byStart = new Map<string, FlowBucketRecord>();
  for (const bucket of buckets) {
    const key = `${bucket.bucketStart.getTime()} ${bucket.epoch ?? ''}`;
    const known = byStart.get(key);
    byStart.set(key, known ? mergeBuckets(known, bucket) : bucket);
  }
  return [...byStart.values()];
}

/** Rows of `stage_flows`, for flows made unique before. */
export function* flowRows(hostId: string, flows: readonly FlowRecord[]): Generator<CopyValue[]> {
  for (const flow of flows) {
    yield [
      hostId,
      flow.flowId,
      flow.edgeId,
      flow.side === 'active' ? 'A' : 'P',
      flow.processId,
      flow.scope,
      inet(flow.activeAddress),
      inet(flow.passiveAddress),
      flow.passivePort,
      flow.foundBy.reduce((bits, how) => bits | FOUND_BY_BIT[how], 0),
      flow.firstSeen,
      flow.lastSeen,
    ];
  }
}

/** Rows of `stage_history`, for flows made unique before. */
export function* historyRows(
  hostId: string,
  epoch: number,
  flows: readonly FlowRecord[],
): Generator<CopyValue[]> {
  for (const flow of flows) {
    for (const bucket of uniqueBuckets(flow.buckets)) {
      yield [
        hostId,
        flow.flowId,
        bucket.bucketStart,
        bucket.epoch ?? epoch,
        bucket.bucketSeconds,
        bucket.opened,
        int4(bucket.openAtStart),
        int4(bucket.openMax),
        int4(bucket.openNow),
        bucket.failedRefused,
        bucket.failedTimedOut,
        bucket.failedUnreachable,
        bucket.failedOther,
        int8(bucket.bytesToPassive),
        int8(bucket.bytesToActive),
        bucket.retransmits,
      ];
    }
  }
}

/** UTC days (`YYYY-MM-DD`) that need a history partition, ascending. */
export function historyDays(flows: readonly FlowRecord[]): string[] {
  return [...longestBuckets(flows).keys()].sort();
}

/** The days, and the longest bucket in each, seconds. */
export function bucketLengthColumns(flows: readonly FlowRecord[]): Columns {
  const lengths = longestBuckets(flows);
  return [[...lengths.keys()], [...lengths.values()]];
}

function longestBuckets(flows: readonly FlowRecord[]): Map<string, number> {
  const days = new Map<number, number>();
  for (const { buckets } of flows) {
    for (const { bucketStart, bucketSeconds } of buckets) {
      const day = Math.floor(bucketStart.getTime() / DAY_MS);
      days.set(day, Math.max(days.get(day) ?? 0, bucketSeconds));
    }
  }
  return new Map(
    [...days].map(([day, seconds]) => [new Date(day * DAY_MS).toISOString().slice(0, 10), seconds]),
  );
}
