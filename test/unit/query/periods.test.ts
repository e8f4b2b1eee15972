import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Busy, longestSilence, periodOf } from '../../../src/query/periods.ts';

function busy(from: number, to: number, opened = true): Busy {
  return { from: new Date(from), to: new Date(to), opened };
}

describe('longestSilence', () => {
  const range = { since: new Date(0), until: new Date(100) };
  const silence = (...slices: Busy[]): number[] | null => {
    const span = longestSilence(slices, range);
    return span === null ? null : [span.from.getTime(), span.to.getTime()];
  };

  it('is the longest hole, at the ends of the range too', () => {
    assert.deepEqual(silence(), [0, 100]);
    assert.deepEqual(silence(busy(40, 50)), [50, 100]);
    assert.deepEqual(silence(busy(60, 70)), [0, 60]);
    assert.deepEqual(silence(busy(90, 100), busy(0, 10), busy(5, 50), busy(20, 30)), [50, 90]);
    assert.equal(silence(busy(0, 60), busy(60, 100)), null);
  });
});

describe('periodOf', () => {
  const at = (...starts: number[]): Busy[] => starts.map((start) => busy(start, start + 5));

  it('needs four visits at regular intervals, give or take a bucket', () => {
    assert.equal(periodOf(at(0, 60, 120)), null);
    assert.equal(periodOf(at(0, 60, 120, 180)), 60);
    assert.equal(periodOf(at(0, 65, 120, 185)), 62);
    assert.equal(periodOf(at(0, 20, 120, 180)), null);
    assert.equal(periodOf([]), null);
  });

  it('takes adjacent buckets as one visit, and open connections as none', () => {
    const visits = at(0, 5, 60, 65, 120, 180);
    assert.equal(periodOf(visits), 60);
    assert.equal(periodOf([...visits, busy(30, 35, false)]), 60);
    assert.equal(periodOf(at(0, 5, 10, 15, 20, 25)), null);
    assert.equal(periodOf(at(0, 10, 20, 30, 40)), null);
  });
});
