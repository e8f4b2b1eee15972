import type { FoundBy } from '../flow/records.ts';

/**
 * The answer to a question about dependencies: processes and the edges between them. This is the
 * JSON contract's shape, with `Date`s and `bigint`s where the JSON has text and numbers.
 */
export interface Graph {
  readonly since: Date;
  readonly until: Date;
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  /** Of every host in the answer, clipped to the range. */
  readonly coverage: readonly CoverageInterval[];
}

/**
 * A process; or, where it isn't known which, an address on a watched host (`host` set, `process`
 * null); or an address of a host without an agent (both null).
 */
export interface GraphNode {
  /** `HOSTID:PROCESSID`, `HOSTID:0@ADDRESS` or `ip:ADDRESS`; the last two get `%SCOPE` if local. */
  readonly id: string;
  readonly hostId: string | null;
  readonly host: string | null;
  readonly process: string | null;
  readonly exe: string | null;
  readonly unit: string | null;
  readonly container: string | null;
  readonly uid: number | null;
  readonly pgid: number | null;
  readonly addresses: readonly string[];
  /** Ports it listens on or was reached at. */
  readonly ports: readonly number[];
  /** Hops from TARGET, which has 0. */
  readonly depth: number;
}

export interface GraphEdge {
  /** Node ids. The active one depends on the passive one. */
  readonly active: string;
  readonly passive: string;
  readonly proto: 'tcp';
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly passivePort: number;
  /** Distinct connections known in the range, those already open when it began included. */
  readonly connections: bigint;
  /** Connects that never were established. With 0 connections this is a failed edge. */
  readonly failed: bigint;
  readonly open: bigint;
  readonly bytesToPassive: bigint;
  readonly bytesToActive: bigint;
  readonly firstSeen: Date;
  readonly lastSeen: Date;
  readonly seenBy: 'both' | 'active' | 'passive';
  readonly foundBy: readonly FoundBy[];
  /**
   * Several processes share both ends of this edge, so which of them spoke to which can't be told:
   * every pair is listed, and each active process's counts stand at one of its pairs only.
   */
  readonly ambiguous: boolean;
}

/** What was watched (or, with `gap`, known not to be) on one host. */
export interface CoverageInterval {
  readonly hostId: string;
  readonly host: string;
  readonly from: Date;
  readonly to: Date;
  readonly mode: string;
  readonly attach: string | null;
  readonly lost: bigint;
  readonly missedProbes: bigint;
  readonly gap: boolean;
  readonly note: string;
}

/** True when nothing was established in the range: every connect failed. */
export function isFailedEdge(edge: Pick<GraphEdge, 'connections' | 'failed'>): boolean {
  return edge.connections === 0n && edge.failed > 0n;
}
