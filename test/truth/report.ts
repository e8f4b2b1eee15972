import { appendFileSync, mkdirSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from '../support/run.ts';
import type { Verdict } from './judge.ts';
import type { Rung } from './watch.ts';

/** The verdict on one case, as docs/coverage.md is made from. */
export interface Result {
  readonly case: string;
  readonly rung: Rung;
  readonly verdict: Verdict;
  /** What the tracer says it lost. */
  readonly lost: number;
  /** Connections per second, and processes, of a load. */
  readonly rate?: number;
  readonly processes?: number;
  /** Release; this machine's if left out. */
  readonly kernel?: string;
}

export const RESULTS = join(REPOSITORY, 'build', 'truth', 'results.jsonl');

/** Keeps a result; the latest of a (case, rung, kernel) counts. */
export function report(result: Result): void {
  mkdirSync(join(RESULTS, '..'), { recursive: true });
  appendFileSync(RESULTS, `${JSON.stringify({ kernel: release(), ...result })}\n`);
}
