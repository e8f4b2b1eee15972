import { watchedMs } from '../query/coverage.ts';
import type { CoverageInterval } from '../query/graph.ts';
import { printable } from './printable.ts';
import { counted, formatSpan } from './spans.ts';

/** What a summary is made from; a `Graph` is one. */
export interface Watched {
  readonly since: Date;
  readonly until: Date;
  readonly coverage: readonly CoverageInterval[];
}

/**
 * How well a host was watched in the range, in one line: no edge means something only where
 * somebody watched.
 */
export function coverageOf(hostId: string | null, watched: Watched): string {
  if (hostId === null) return 'no agent there: known only from what watched hosts saw';
  const intervals = watched.coverage.filter((interval) => interval.hostId === hostId);
  const ms = watchedMs(intervals);
  if (!intervals.some((interval) => !interval.gap)) return 'not watched in this range';
  const ways = new Set(
    intervals
      .filter((interval) => !interval.gap)
      .map(({ mode, attach }) => (attach === null ? mode : `${mode}, ${attach}`)),
  );
  const lost = intervals.reduce((sum, { lost, missedProbes }) => sum + lost + missedProbes, 0n);
  const losses = lost > 0n ? `; ${counted(lost, 'event')} known to be missed` : '';
  const range = watched.until.getTime() - watched.since.getTime();
  return printable(
    `watched ${formatSpan(ms)} of ${formatSpan(range)} (${[...ways].sort().join('; ')})${losses}`,
  );
}
