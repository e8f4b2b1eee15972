/**
 * What the agent hands to the CMDB at a flush: plain records, identified by values the agent
 * computes itself, so that every write is an idempotent upsert.
 *
 * 64-bit ids are decimal strings of signed 64-bit integers (PostgreSQL `bigint`), counters that may
 * pass 2^53 are `bigint`s; times are `Date`s (UTC).
 */

import type { ContainerRecord, ProcessRecord } from '../process/identity.ts';

export type { ContainerRecord, ProcessRecord } from '../process/identity.ts';
export { UNATTRIBUTED_PROCESS_ID } from '../process/identity.ts';

/** How a flow came to be known: a kernel event, a snapshot, or a socket-destroy notice. */
export type FoundBy = 'stream' | 'snapshot' | 'destroy';

/** Which end of the connection the recording process holds (paper, section 3.1). */
export type Side = 'active' | 'passive';

export interface HostRecord {
  /** UUID, from machine-id or `--host-id`. */
  readonly hostId: string;
  readonly name: string;
  /** UUID of this boot, null where the kernel does not tell. */
  readonly bootId: string | null;
  readonly agentVersion: string;
  readonly kernelRelease: string;
}

/** An unbroken time in which this host was seen to own an address. */
export interface HostAddressRecord {
  /** Textual IP address without prefix length. */
  readonly address: string;
  /** Network namespace the address lives in: `''` is the host's own, else `net:INUM`. */
  readonly netns: string;
  /** Means nothing beyond this host: loopback, link-local, or of a bridge network. */
  readonly hostLocal: boolean;
  /** Start of the ownership as this agent saw it: with the fields above it identifies the row. */
  readonly firstSeen: Date;
  readonly lastSeen: Date;
}

/** A listening endpoint: a passive node of the paper. */
export interface PassiveNodeRecord {
  readonly nodeId: string;
  readonly processId: string;
  /** Listening address; `0.0.0.0` or `::` for a wildcard. */
  readonly address: string;
  readonly port: number;
  readonly netns: string;
  readonly firstSeen: Date;
  readonly lastSeen: Date;
}

/** Absolute totals of one flow within one bucket and agent epoch. */
export interface FlowBucketRecord {
  readonly bucketStart: Date;
  /** Of its totals, where that is not the batch's: the clock was set back. */
  readonly epoch?: number;
  /** Length of the bucket, 1 to 86400: tells a query whether the bucket reaches into its range. */
  readonly bucketSeconds: number;
  /** Distinct connections that became known in this bucket (opened, or found already open). */
  readonly opened: number;
  /** Connections known before and open when the bucket began. */
  readonly openAtStart: number;
  readonly openMax: number;
  /** Open at the time of writing (or at the end of the bucket once it is over). */
  readonly openNow: number;
  readonly failedRefused: number;
  readonly failedTimedOut: number;
  readonly failedUnreachable: number;
  /** Closed by the caller before an answer came, or for any other reason. */
  readonly failedOther: number;
  readonly bytesToPassive: bigint;
  readonly bytesToActive: bigint;
  readonly retransmits: number;
}

/** One host's half of an edge: all connections of one process to one passive endpoint. */
export interface FlowRecord {
  /** Hash of edge, side and process. */
  readonly flowId: string;
  /** Hash of (tcp, active address, passive address, passive port, scope): same from both ends. */
  readonly edgeId: string;
  readonly side: Side;
  readonly processId: string;
  /** '' or, where an address is host-local, what confines it (`scopeOf`). */
  readonly scope: string;
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly passivePort: number;
  readonly firstSeen: Date;
  readonly lastSeen: Date;
  readonly foundBy: readonly FoundBy[];
  readonly buckets: readonly FlowBucketRecord[];
}

/** What this host watched in an interval, how, and what it knows it missed. */
export interface CoverageRecord {
  /** Start of the interval; rows are keyed by (host, from, epoch) and grow until superseded. */
  readonly from: Date;
  readonly to: Date;
  readonly mode: 'stream' | 'poll' | 'once';
  /** Rung of the attach ladder, null in poll mode. */
  readonly attach: 'fentry' | 'kprobe' | 'tracepoint' | null;
  /** Events known to be lost in the interval. */
  readonly lost: bigint;
  /** Hook executions the kernel skipped (recursion, kretprobe slots). */
  readonly missedProbes: bigint;
  /** Why: one line for people, e.g. which rungs were refused, or what interrupted watching. */
  readonly note: string;
  /** A gap is an interval in which nobody watched. */
  readonly gap: boolean;
}

/** Everything one flush writes, in one transaction. */
export interface FlushBatch {
  readonly host: HostRecord;
  /** Agent epoch: its start in milliseconds since 1970. Bucket totals are absolute per epoch. */
  readonly epoch: number;
  readonly at: Date;
  readonly addresses: readonly HostAddressRecord[];
  readonly containers: readonly ContainerRecord[];
  readonly processes: readonly ProcessRecord[];
  readonly passiveNodes: readonly PassiveNodeRecord[];
  readonly flows: readonly FlowRecord[];
  readonly coverage: readonly CoverageRecord[];
}
