/** What people type: understood as it is written back, or refused for what it is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ExitCode, UserError } from '../../../src/common/exit-codes.ts';
import { canonicalAddress } from '../../../src/query/address.ts';
import { parseRange, parseSpan } from '../../../src/query/range.ts';
import { formatTarget, parseTarget, type Target } from '../../../src/query/target.ts';

const NOW = new Date('2026-03-01T12:00:00Z');

function assertUsage(error: unknown): void {
  assert.ok(error instanceof UserError, String(error));
  assert.equal(error.exitCode, ExitCode.usage);
  assert.doesNotMatch(error.message, /\n/);
}

const address = fc
  .oneof(fc.ipV4(), fc.ipV6())
  .map((text) => canonicalAddress(text))
  .filter((canonical) => canonical !== null);
const port = fc.integer({ min: 1, max: 65_535 });
const endpoint = { kind: fc.constant('endpoint' as const) };
const target: fc.Arbitrary<Target> = fc.oneof(
  fc.record({ ...endpoint, address, port: fc.option(port) }, { noNullPrototype: true }),
  fc.record({ ...endpoint, address: fc.constant(null), port }, { noNullPrototype: true }),
  fc.record(
    {
      kind: fc.constantFrom('host' as const, 'process' as const, 'unit', 'container'),
      // The ends are trimmed, as of any argument; names have none.
      name: fc.string({ unit: 'grapheme', minLength: 1 }).filter((name) => name.trimEnd() === name),
    },
    { noNullPrototype: true },
  ),
);

const typed = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.stringMatching(/^(host|process|unit|container)?:?[[\]0-9a-f:.%]{0,30}(:[0-9]{0,6})?$/),
);

describe('TARGET, whatever is typed', () => {
  it('is what it is written as', () => {
    fc.assert(
      fc.property(target, (each) => {
        assert.deepEqual(parseTarget(formatTarget(each)), each);
      }),
      { numRuns: 1_000 },
    );
  });

  it('is understood, and then stays what it is, or refused with a UserError', () => {
    fc.assert(
      fc.property(typed, (text) => {
        let parsed: Target;
        try {
          parsed = parseTarget(text);
        } catch (error) {
          assertUsage(error);
          return;
        }
        assert.deepEqual(parseTarget(formatTarget(parsed)), parsed);
      }),
      { numRuns: 2_000 },
    );
  });
});

const moment = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.stringMatching(/^[0-9]{1,4}(ms|[smhdw])$/),
  fc.stringMatching(/^[0-9]{4}-[0-1][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9](:[0-6][0-9])?)?Z?$/),
  fc
    .date({
      min: new Date('1970-01-01'),
      max: new Date('2100-01-01'),
      noInvalidDate: true,
    })
    .map((date) => date.toISOString()),
);

describe('ranges of time, whatever is typed', () => {
  const check = (parse: () => { since: Date; until: Date }) => {
    try {
      const { since, until } = parse();
      assert.ok(since.getTime() < until.getTime());
    } catch (error) {
      assertUsage(error);
    }
  };

  it('--since and --until give a range that is not empty, or a UserError', () => {
    fc.assert(
      fc.property(fc.option(moment), fc.option(moment), (since, until) =>
        check(() => parseRange(since ?? undefined, until ?? undefined, NOW)),
      ),
      { numRuns: 2_000 },
    );
  });

  it('so does A..B', () => {
    const span = fc.oneof(
      fc.tuple(moment, moment).map(([from, to]) => `${from}..${to}`),
      fc.string({ unit: 'grapheme' }),
    );
    fc.assert(
      fc.property(span, (text) => check(() => parseSpan(text, '--before', NOW))),
      { numRuns: 2_000 },
    );
  });

  it('times written in full are the times that are meant', () => {
    const date = fc.date({ min: new Date(0), max: NOW, noInvalidDate: true });
    fc.assert(
      fc.property(date, date, (one, other) => {
        const [since, until] = one < other ? [one, other] : [other, one];
        if (since.getTime() === until.getTime()) return;
        const text = `${since.toISOString()}..${until.toISOString()}`;
        assert.deepEqual(parseSpan(text, '--before', NOW), { since, until });
      }),
    );
  });
});
