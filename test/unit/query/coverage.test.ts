import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { watchedMs } from '../../../src/query/coverage.ts';
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
