import type { ClientBase } from 'pg';
import type { CoverageInterval } from './graph.ts';
import { groupBy } from './group-by.ts';
import type { TimeRange } from './range.ts';

/** What was watched between $2 and $3. $1 host ids, or null for all hosts. */
export const COVERAGE = `
SELECT c.host_id, h.name, c.from_time, c.to_time, c.mode, c.attach, c.gap, c.lost::text,
       c.missed_probes::text, c.note
FROM coverage c JOIN hosts h ON h.host_id = c.host_id
WHERE ($1::uuid[] IS NULL OR c.host_id = ANY($1::uuid[])) AND c.from_time < $3 AND c.to_time > $2
ORDER BY h.name, c.host_id, c.from_time, c.epoch`;

interface CoverageRow {
  host_id: string;
  name: string;
  from_time: Date;
  to_time: Date;
  mode: string;
  attach: string | null;
  gap: boolean;
  lost: string;
  missed_probes: string;
  note: string;
}

/** Coverage of the given hosts (null: of all), clipped to the range. */
export async function loadCoverage(
  client: ClientBase,
  range: TimeRange,
  hostIds: readonly string[] | null,
): Promise<CoverageInterval[]> {
  if (hostIds?.length === 0) return [];
  const { rows } = await client.query<CoverageRow>(COVERAGE, [hostIds, range.since, range.until]);
  return rows.map((row) => ({
    hostId: row.host_id,
    host: row.name,
    from: new Date(Math.max(row.from_time.getTime(), range.since.getTime())),
    to: new Date(Math.min(row.to_time.getTime(), range.until.getTime())),
    mode: row.mode,
    attach: row.attach,
    lost: BigInt(row.lost),
    missedProbes: BigInt(row.missed_probes),
    gap: row.gap,
    note: row.note,
  }));
}

/** A stretch of time. */
export interface Span {
  readonly from: Date;
  readonly to: Date;
}

/** An agent writes what it watched some time later: that much at the end of a range is no hole. */
const REPORT_LAG_MS = 60_000;

/**
 * When a host was not watched in a range, gaps that its agents reported included. What has not been
 * reported yet at the end of the range is left out, up to a minute or half of the range.
 */
export function unwatchedSpans(intervals: readonly CoverageInterval[], range: TimeRange): Span[] {
  const spans: { from: number; to: number }[] = [];
  const [since, until] = [range.since.getTime(), range.until.getTime()];
  const note = (from: number, to: number): void => {
    if (to <= from) return;
    const last = spans.at(-1);
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to);
    else spans.push({ from, to });
  };
  let [watching, gaps, from] = [0, 0, since];
  for (const mark of coverageMarks(intervals)) {
    if (watching === 0 || gaps > 0) note(from, mark.at);
    watching += mark.watching;
    gaps += mark.gaps;
    from = mark.at;
  }
  const reported = intervals.some((interval) => !interval.gap);
  const lagMs = reported ? Math.min(REPORT_LAG_MS, (until - since) / 2) : 0;
  if (until - from > lagMs) note(from, until);
  return spans.map((span) => ({ from: new Date(span.from), to: new Date(span.to) }));
}

/** A host whose coverage an answer rests on. */
export interface NamedHost {
  readonly hostId: string | null;
  readonly host: string | null;
}

/** When a host was not watched. */
export interface Unwatched extends Span {
  readonly hostId: string;
  readonly host: string | null;
}

/** When hosts that an answer rests on were not watched, those included that never were. */
export function unwatchedTimes(
  hosts: readonly NamedHost[],
  coverage: readonly CoverageInterval[],
  range: TimeRange,
): Unwatched[] {
  const names = new Map(hosts.flatMap(({ hostId, host }) => (hostId ? [[hostId, host]] : [])));
  const intervals = groupBy(coverage, ({ hostId }) => hostId);
  return [...names].flatMap(([hostId, host]) =>
    unwatchedSpans(intervals.get(hostId) ?? [], range).map((span) => ({ hostId, host, ...span })),
  );
}

/**
 * Milliseconds of a range in which a host was watched: the union of its intervals, less the gaps
 * that its agents reported.
 */
export function watchedMs(intervals: readonly CoverageInterval[]): number {
  let [watched, watching, gaps, last] = [0, 0, 0, 0];
  for (const mark of coverageMarks(intervals)) {
    if (watching > 0 && gaps === 0) watched += mark.at - last;
    watching += mark.watching;
    gaps += mark.gaps;
    last = mark.at;
  }
  return watched;
}

function coverageMarks(
  intervals: readonly CoverageInterval[],
): { at: number; watching: number; gaps: number }[] {
  const marks = intervals.flatMap(({ from, to, gap }) => [
    { at: from.getTime(), watching: gap ? 0 : 1, gaps: gap ? 1 : 0 },
    { at: to.getTime(), watching: gap ? 0 : -1, gaps: gap ? -1 : 0 },
  ]);
  return marks.sort((a, b) => a.at - b.at);
}
