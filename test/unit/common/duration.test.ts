import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseDurationMs } from '../../../src/common/duration.ts';
import { ExitCode, UserError } from '../../../src/common/exit-codes.ts';

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const part = fc.tuple(
  fc.integer({ min: 1, max: 400 }),
  fc.constantFrom(...(Object.keys(UNITS_MS) as (keyof typeof UNITS_MS)[])),
);

describe('parseDurationMs, whatever it is given', () => {
  it('adds up parts of any units', () => {
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const text = parts.map(([n, unit]) => `${n}${unit}`).join('');
        const sum = parts.reduce((ms, [n, unit]) => ms + n * UNITS_MS[unit], 0);
        assert.equal(parseDurationMs(text, '--x'), sum);
      }),
    );
  });

  it('gives whole milliseconds, or a UserError in one line that names the text', () => {
    const text = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.stringMatching(/^[0-9.\-+e]{0,25}(ms|[smhdwy])?[0-9]{0,4}[smh]?$/),
    );
    fc.assert(
      fc.property(text, (any) => {
        try {
          const ms = parseDurationMs(any, '--x');
          assert.ok(Number.isSafeInteger(ms) && ms >= 1, `${ms}`);
        } catch (error) {
          assert.ok(error instanceof UserError, String(error));
          assert.equal(error.exitCode, ExitCode.usage);
          assert.ok(error.message.startsWith(`--x: '${any}' is not a duration`));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
