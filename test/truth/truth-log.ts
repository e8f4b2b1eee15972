import { readFileSync } from 'node:fs';

export type Side = 'active' | 'passive';

/** What can become of a connection, in the words of the CMDB. */
export const OUTCOMES = ['opened', 'refused', 'timedOut', 'unreachable', 'other'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** One end of one connection, as the program that holds it knows it. */
export interface TruthConnection {
  readonly side: Side;
  readonly pid: number;
  /** Path of the executable. */
  readonly exe: string;
  readonly comm: string;
  readonly startTicks: number;
  /** Inode number of the network namespace. */
  readonly netns: number;
  /** Address without port; '' where nothing is routed there. */
  readonly local: string;
  readonly localPort: number;
  readonly peer: string;
  readonly peerPort: number;
  readonly outcome: Outcome;
  /** Milliseconds since boot. */
  readonly beginMs: number;
  readonly endMs: number;
}

const BY_ERRNO: Readonly<Record<string, Outcome>> = {
  established: 'opened',
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'timedOut',
  ENETUNREACH: 'unreachable',
  EHOSTUNREACH: 'unreachable',
};

/** Lines of truth-log.h; what it calls by another errno, or `aborted`, failed otherwise. */
export function parseTruthLog(text: string): TruthConnection[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const logged = JSON.parse(line) as TruthConnection & { readonly outcome: string };
      return { ...logged, outcome: BY_ERRNO[logged.outcome] ?? 'other' };
    });
}

export function readTruthLog(path: string): TruthConnection[] {
  return parseTruthLog(readFileSync(path, 'utf8'));
}
