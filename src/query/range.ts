import { parseDurationMs } from '../common/duration.ts';
import { ExitCode, UserError } from '../common/exit-codes.ts';

/** The interval a question is about: `since` included, `until` not. */
export interface TimeRange {
  readonly since: Date;
  readonly until: Date;
}

/** Agents write listeners and addresses that did not change once a minute, and with the next flush. */
const INVENTORY_LAG_MS = 90_000;

/**
 * Since when a listener or address must have been seen to be there in the range: one that still is
 * there may last have been written before a short range began.
 */
export function listedSince({ since, until }: TimeRange): Date {
  return new Date(Math.min(since.getTime(), until.getTime() - INVENTORY_LAG_MS));
}

export const DEFAULT_RANGE_MS = 86_400_000;

const ISO =
  /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:?\d{2})?)?$/i;

/**
 * The range of `--since` and `--until`: each a duration back from `now`, or an ISO 8601 time (UTC
 * unless it has an offset). By default the 24 hours before `until`, which is now by default.
 * @throws UserError (usage) for a value that is neither, or a range that is empty
 */
export function parseRange(
  since: string | undefined,
  until: string | undefined,
  now: Date,
): TimeRange {
  const end = until === undefined ? now : parseMoment(until, '--until', now);
  const start =
    since === undefined
      ? new Date(end.getTime() - DEFAULT_RANGE_MS)
      : parseMoment(since, '--since', now);
  if (start >= end) {
    throw new UserError(
      ExitCode.usage,
      `--since (${start.toISOString()}) must be before --until (${end.toISOString()})`,
    );
  }
  return { since: start, until: end };
}

/**
 * A range written as `A..B`: `7d..1d`, `2026-01-01T00:00..2026-01-02T00:00`, `1h..` (until now).
 * @throws UserError (usage) naming the option, for what is no range or an empty one
 */
export function parseSpan(text: string, option: string, now: Date): TimeRange {
  const [, from, to] = /^(.+?)\.\.(.*)$/s.exec(text.trim()) ?? [];
  if (from === undefined || to === undefined) {
    throw new UserError(
      ExitCode.usage,
      `${option}: ${JSON.stringify(text)} is not a range A..B, like 7d..1d or 2025-01-31..2025-02-01T12:00`,
    );
  }
  const since = parseMoment(from, option, now);
  const until = to.trim() === '' ? now : parseMoment(to, option, now);
  if (since < until) return { since, until };
  throw new UserError(
    ExitCode.usage,
    `${option}: ${since.toISOString()} must be before ${until.toISOString()}`,
  );
}

function parseMoment(text: string, option: string, now: Date): Date {
  const trimmed = text.trim();
  if (/^\d{4}-/.test(trimmed)) return parseIso(trimmed, option);
  try {
    return new Date(now.getTime() - parseDurationMs(trimmed, option));
  } catch (error) {
    throw badMoment(text, option, error);
  }
}

function parseIso(text: string, option: string): Date {
  const match = ISO.exec(text);
  const [, day, time = '00:00', zone = 'Z'] = match ?? [];
  const parsed = new Date(`${day}T${time}${zone.toUpperCase()}`);
  const valid = match !== null && !Number.isNaN(parsed.getTime()) && isRealDay(day ?? '');
  if (!valid) throw badMoment(text, option, undefined);
  return parsed;
}

/** JavaScript rolls 2025-02-30 over into March; a typing error should not shift a range. */
function isRealDay(day: string): boolean {
  const parsed = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(day);
}

function badMoment(text: string, option: string, cause: unknown): UserError {
  return new UserError(
    ExitCode.usage,
    `${option}: ${JSON.stringify(text)} is neither a duration like 2h or 7d nor a time like 2025-01-31T12:00:00Z`,
    { cause },
  );
}
