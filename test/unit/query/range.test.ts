import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ExitCode, UserError } from '../../../src/common/exit-codes.ts';
import { parseRange, parseSpan } from '../../../src/query/range.ts';

const NOW = new Date('2025-06-10T12:00:00.000Z');

function range(since?: string, until?: string): string[] {
  const parsed = parseRange(since, until, NOW);
  return [parsed.since.toISOString(), parsed.until.toISOString()];
}

describe('parseRange', () => {
  it('is the last 24 hours by default, or those before --until', () => {
    assert.deepEqual(range(), ['2025-06-09T12:00:00.000Z', '2025-06-10T12:00:00.000Z']);
    assert.deepEqual(range(undefined, '2h'), [
      '2025-06-09T10:00:00.000Z',
      '2025-06-10T10:00:00.000Z',
    ]);
  });

  it('takes durations back from now and ISO times', () => {
    assert.deepEqual(range('7d', '1h30m'), [
      '2025-06-03T12:00:00.000Z',
      '2025-06-10T10:30:00.000Z',
    ]);
    assert.deepEqual(range('2025-06-01', '2025-06-01T10:00:00+02:00'), [
      '2025-06-01T00:00:00.000Z',
      '2025-06-01T08:00:00.000Z',
    ]);
    assert.deepEqual(range('2025-06-01 10:00'), [
      '2025-06-01T10:00:00.000Z',
      '2025-06-10T12:00:00.000Z',
    ]);
  });

  const bad: readonly [string | undefined, string | undefined, RegExp][] = [
    ['yesterday', undefined, /^--since: "yesterday" is neither/],
    [undefined, '2025-13-01', /^--until: "2025-13-01" is neither/],
    ['2025-02-30', undefined, /^--since: "2025-02-30" is neither/],
    ['2025-06-01T25:00', undefined, /^--since: /],
    ['', undefined, /^--since: "" is neither/],
    ['1h', '2h', /^--since .* must be before --until/],
    ['1h', '1h', /^--since .* must be before --until/],
  ];
  for (const [since, until, message] of bad) {
    it(`refuses ${since} to ${until}`, () => {
      assert.throws(
        () => parseRange(since, until, NOW),
        (error) =>
          error instanceof UserError &&
          error.exitCode === ExitCode.usage &&
          message.test(error.message),
      );
    });
  }
});

describe('parseSpan', () => {
  const span = (text: string): string[] => {
    const { since, until } = parseSpan(text, '--before', NOW);
    return [since.toISOString(), until.toISOString()];
  };

  it('reads durations, times, and an open end', () => {
    assert.deepEqual(span('7d..1d'), ['2025-06-03T12:00:00.000Z', '2025-06-09T12:00:00.000Z']);
    assert.deepEqual(span(' 1h.. '), ['2025-06-10T11:00:00.000Z', '2025-06-10T12:00:00.000Z']);
    assert.deepEqual(span('2025-06-01T00:00..2025-06-02T12:30:00.5Z'), [
      '2025-06-01T00:00:00.000Z',
      '2025-06-02T12:30:00.500Z',
    ]);
    assert.deepEqual(span('1.5h..2025-06-11'), [
      '2025-06-10T10:30:00.000Z',
      '2025-06-11T00:00:00.000Z',
    ]);
  });

  it('refuses everything else in one line', () => {
    for (const text of [
      '',
      '7d',
      '..',
      '..1d',
      '1d..7d',
      '1d..1d',
      'x..y',
      '7d...',
      '7d..1d..1h',
    ]) {
      assert.throws(
        () => parseSpan(text, '--before', NOW),
        (error) =>
          error instanceof UserError &&
          error.exitCode === ExitCode.usage &&
          error.message.startsWith('--before: '),
        text,
      );
    }
  });
});
