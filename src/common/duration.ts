import { ExitCode, UserError } from './exit-codes.ts';

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/**
 * Parses a duration such as `500ms`, `10s`, `5m`, `2h`, `7d`, `1w` or a sum like `1h30m`.
 * @returns milliseconds, at least 1
 * @throws UserError (usage) naming `what` and the value
 */
export function parseDurationMs(text: string, what: string): number {
  const trimmed = text.trim();
  const sum = /^(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+$/.test(trimmed)
    ? [...trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)].reduce(
        (total, [, amount, unit]) => total + Number(amount) * (UNIT_MS[unit ?? ''] ?? Number.NaN),
        0,
      )
    : Number.NaN;
  if (!Number.isFinite(sum) || sum < 1 || sum > 100 * 365 * 86_400_000) {
    throw new UserError(
      ExitCode.usage,
      `${what}: '${text}' is not a duration; use a number and a unit, like 500ms, 10s, 5m, 2h or 7d`,
    );
  }
  return Math.round(sum);
}
