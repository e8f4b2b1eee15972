import type {
  CoverageRecord,
  FlowBucketRecord,
  FlowRecord,
  FlushBatch,
  PassiveNodeRecord,
  ProcessRecord,
} from '../../src/flow/records.ts';

/** A time in the middle of a day, so that a test's buckets share it. */
export const NOON = new Date('2026-03-01T12:00:00.000Z');

export function hostId(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

export function bucket(changes: Partial<FlowBucketRecord> = {}): FlowBucketRecord {
  return {
    bucketStart: NOON,
    bucketSeconds: 300,
    opened: 3,
    openAtStart: 1,
    openMax: 2,
    openNow: 1,
    failedRefused: 0,
    failedTimedOut: 0,
    failedUnreachable: 0,
    failedOther: 0,
    bytesToPassive: 100n,
    bytesToActive: 200n,
    retransmits: 0,
    ...changes,
  };
}

export function flow(changes: Partial<FlowRecord> = {}): FlowRecord {
  return {
    flowId: '11',
    edgeId: '12',
    side: 'active',
    processId: '5',
    scope: '',
    activeAddress: '10.0.0.1',
    passiveAddress: '10.0.0.2',
    passivePort: 80,
    firstSeen: NOON,
    lastSeen: NOON,
    foundBy: ['stream'],
    buckets: [bucket()],
    ...changes,
  };
}

export function processRecord(changes: Partial<ProcessRecord> = {}): ProcessRecord {
  return {
    processId: '5',
    name: 'wrk',
    exe: '/usr/bin/wrk',
    command: 'wrk',
    unit: 'wrk.service',
    containerId: null,
    uid: 1000,
    userName: 'bob',
    pid: 77,
    pgid: 70,
    ...changes,
  };
}

export function passiveNode(changes: Partial<PassiveNodeRecord> = {}): PassiveNodeRecord {
  return {
    nodeId: '21',
    processId: '5',
    address: '0.0.0.0',
    port: 80,
    netns: '',
    firstSeen: NOON,
    lastSeen: NOON,
    ...changes,
  };
}

export function coverage(changes: Partial<CoverageRecord> = {}): CoverageRecord {
  return {
    from: NOON,
    to: new Date(NOON.getTime() + 10_000),
    mode: 'stream',
    attach: 'tracepoint',
    lost: 0n,
    missedProbes: 0n,
    note: 'fentry refused',
    gap: false,
    ...changes,
  };
}

/** A flush of one host with one of everything. */
export function batch(changes: Partial<FlushBatch> = {}, hostNumber = 1): FlushBatch {
  return {
    host: {
      hostId: hostId(hostNumber),
      name: `host-${hostNumber}`,
      bootId: hostId(900 + hostNumber),
      agentVersion: '0.1.0',
      kernelRelease: '6.1.0',
    },
    epoch: 1_772_366_400_000,
    at: NOON,
    addresses: [
      { address: '10.0.0.1', netns: '', hostLocal: false, firstSeen: NOON, lastSeen: NOON },
    ],
    containers: [{ containerId: 'c1', runtime: 'docker' }],
    processes: [processRecord()],
    passiveNodes: [passiveNode()],
    flows: [flow()],
    coverage: [coverage()],
    ...changes,
  };
}
