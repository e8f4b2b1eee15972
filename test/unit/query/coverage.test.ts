import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { unwatchedSpans, watchedMs } from '../../../src/query/coverage.ts';
import type { CoverageInterval } from '../../../src/query/graph.ts';

function interval(from: number, to: number, gap = false): CoverageInterval {
  return {
    hostId: 'h',
    host: 'web-1',
    from: new Date(from),
    to: new Date(to),
    mode: 'stream',
    attach: null,
    lost: 0n,
    missedProbes: 0n,
    gap,
    note: '',
  };
}

describe('watchedMs', () => {
  it('is the union of intervals', () => {
    assert.equal(watchedMs([]), 0);
    assert.equal(watchedMs([interval(0, 10), interval(5, 20), interval(30, 40)]), 30);
    assert.equal(watchedMs([interval(0, 10), interval(0, 10)]), 10);
  });

  it('leaves out what an agent knows it did not see', () => {
    assert.equal(watchedMs([interval(0, 100), interval(10, 20, true), interval(15, 30, true)]), 80);
    assert.equal(watchedMs([interval(0, 100, true)]), 0);
    assert.equal(watchedMs([interval(0, 10), interval(10, 20, true), interval(20, 30)]), 20);
  });
});

describe('unwatchedSpans', () => {
  const HOUR_MS = 3_600_000;
  const spans = (intervals: CoverageInterval[], untilMs = HOUR_MS): number[][] =>
    unwatchedSpans(intervals, { since: new Date(0), until: new Date(untilMs) }).map(
      ({ from, to }) => [from.getTime(), to.getTime()],
    );

  it('are the holes of a range, at both ends too', () => {
    assert.deepEqual(spans([]), [[0, HOUR_MS]]);
    assert.deepEqual(spans([interval(0, HOUR_MS)]), []);
    assert.deepEqual(spans([interval(10, 20), interval(30, 40), interval(35, 50)], 200_000), [
      [0, 10],
      [20, 30],
      [50, 200_000],
    ]);
  });

  it('hold the gaps that agents reported', () => {
    const gaps = [interval(10, 20, true), interval(20, 30, true)];
    assert.deepEqual(spans([interval(0, HOUR_MS), ...gaps]), [[10, 30]]);
    assert.deepEqual(spans([interval(0, HOUR_MS, true)]), [[0, HOUR_MS]]);
  });

  it('do not count what is yet to be reported, up to a minute or half of the range', () => {
    assert.deepEqual(spans([interval(0, HOUR_MS - 59_000)]), []);
    assert.equal(spans([interval(0, HOUR_MS - 61_000)]).length, 1);
    assert.deepEqual(spans([interval(0, 6_000)], 10_000), []);
    assert.deepEqual(spans([interval(0, 4_000)], 10_000), [[4_000, 10_000]]);
    assert.deepEqual(spans([], 10_000), [[0, 10_000]]);
  });
});
