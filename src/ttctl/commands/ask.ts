import type { ClientBase } from 'pg';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { loadCoverage } from '../../query/coverage.ts';
import type { TimeRange } from '../../query/range.ts';
import { formatTarget, parseTarget, TARGET_FORMS, type Target } from '../../query/target.ts';
import { printable } from '../../render/printable.ts';
import { counted } from '../../render/spans.ts';

/** A search that deep has long covered everything; more is a typing error. */
export const MAX_DEPTH = 100;

/** @throws UserError (usage) when a TARGET is missing or not understood */
export function requireTarget(text: string | undefined, command: string, name = 'TARGET'): Target {
  if (text === undefined) {
    throw new UserError(ExitCode.usage, `${command} needs ${a(name)}: ${TARGET_FORMS}`);
  }
  return parseTarget(text);
}

function a(name: string): string {
  return name === 'TARGET' ? 'a TARGET' : name;
}

/** @throws UserError (usage) for anything but a whole number from 1 to 100 */
export function parseDepth(text: string): number {
  const depth = /^\d{1,3}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (depth >= 1 && depth <= MAX_DEPTH) return depth;
  throw new UserError(
    ExitCode.usage,
    `--depth: ${JSON.stringify(text)} is not a whole number from 1 to ${MAX_DEPTH}`,
  );
}

/** The error (no) that says what was not found, and whether anybody watched. */
export async function noSuchTarget(
  client: ClientBase,
  target: Target,
  range: TimeRange,
): Promise<UserError> {
  const coverage = await loadCoverage(client, range, null);
  const hosts = new Set(coverage.map((interval) => interval.hostId)).size;
  const from = `${range.since.toISOString()} to ${range.until.toISOString()}`;
  const watched = hosts === 0 ? 'no host was watched' : `${counted(hosts, 'host')} watched`;
  return new UserError(
    ExitCode.no,
    `no such target: nothing matches ${printable(formatTarget(target))} from ${from} (${watched})`,
  );
}
