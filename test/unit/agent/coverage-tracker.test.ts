import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CoverageTracker, type Watching } from '../../../src/agent/coverage-tracker.ts';
import type { CoverageRecord } from '../../../src/flow/records.ts';
import { losses } from './fakes.ts';

const STREAM: Watching = { mode: 'stream', attach: 'tracepoint', note: 'fentry refused' };

function brief(records: readonly CoverageRecord[]) {
  return records.map(({ from, to, lost, gap }) => [from.getTime(), to.getTime(), lost, gap]);
}

function tracking(atMs = 1_000): CoverageTracker {
  const coverage = new CoverageTracker();
  coverage.begin(STREAM, atMs);
  return coverage;
}

describe('coverage', () => {
  it('grows from report to report under one key', () => {
    const coverage = tracking();
    assert.deepEqual(coverage.takeChanged(), []); // no length yet
    assert.equal(coverage.extend(2_000, losses()).lost, 0n);
    assert.deepEqual(coverage.takeChanged(), [
      {
        ...STREAM,
        from: new Date(1_000),
        to: new Date(2_000),
        lost: 0n,
        missedProbes: 0n,
        gap: false,
      },
    ]);
    coverage.written();
    assert.deepEqual(coverage.takeChanged(), []);
    coverage.extend(3_000, losses());
    assert.deepEqual(brief(coverage.takeChanged()), [[1_000, 3_000, 0n, false]]);
  });

  it('dates a loss: the interval in which it was stands alone', () => {
    const coverage = tracking();
    coverage.extend(2_000, losses());
    assert.equal(coverage.extend(3_000, losses({ ringLost: 5n, noticesLost: 2n })).lost, 7n);
    assert.equal(coverage.extend(4_000, losses({ ringLost: 5n, noticesLost: 2n })).lost, 0n);
    coverage.extend(5_000, losses({ ringLost: 5n, noticesLost: 2n, missedProbes: 3n }));
    coverage.extend(6_000, losses({ ringLost: 5n, noticesLost: 2n, missedProbes: 3n }));
    const records = coverage.takeChanged();
    assert.deepEqual(brief(records), [
      [1_000, 2_000, 0n, false],
      [2_000, 3_000, 7n, false],
      [3_000, 4_000, 0n, false],
      [4_000, 5_000, 0n, false],
      [5_000, 6_000, 0n, false],
    ]);
    assert.deepEqual(
      records.map((record) => record.missedProbes),
      [0n, 0n, 0n, 3n, 0n],
    );
  });

  it('does not take vanished processes for losses', () => {
    const coverage = tracking();
    assert.equal(coverage.extend(2_000, losses({ vanished: 9n, namespacesFailed: 1n })).lost, 0n);
  });

  it('starts losses at zero with each helper', () => {
    const coverage = tracking();
    coverage.extend(2_000, losses({ flowsFull: 10n }));
    assert.equal(coverage.end(), 2_000);
    coverage.begin(STREAM, 5_000);
    assert.equal(coverage.extend(6_000, losses({ flowsFull: 3n })).lost, 3n);
  });

  it('ends at the last report, and a gap follows', () => {
    const coverage = tracking();
    coverage.extend(2_000, losses());
    assert.equal(coverage.end(), 2_000);
    assert.equal(coverage.end(), null);
    coverage.begin(STREAM, 7_000);
    coverage.gap(2_000, 7_000, 'gone');
    coverage.extend(8_000, losses());
    const records = coverage.takeChanged();
    assert.deepEqual(brief(records), [
      [1_000, 2_000, 0n, false],
      [7_000, 8_000, 0n, false],
      [2_000, 7_000, 0n, true],
    ]);
    assert.equal(records.at(-1)?.note, 'gone');
  });

  it('keeps nothing of a helper that ended before its first report', () => {
    const coverage = tracking();
    assert.equal(coverage.end(), 1_000);
    assert.deepEqual(coverage.takeChanged(), []);
  });

  it('goes on from an earlier report, with the losses told until then', () => {
    const coverage = new CoverageTracker();
    coverage.resume(STREAM, 1_000, 'unattended', { lost: 5n, missedProbes: 0n });
    assert.equal(coverage.extend(9_000, losses({ flowsFull: 6n })).lost, 1n);
    assert.equal(coverage.extend(9_500, losses({ flowsFull: 6n })).lost, 0n);
    assert.deepEqual(coverage.known, { lost: 6n, missedProbes: 0n });
    const records = coverage.takeChanged();
    assert.deepEqual(brief(records), [
      [1_000, 9_000, 1n, false],
      [9_000, 9_500, 0n, false],
    ]);
    assert.deepEqual(
      records.map(({ note }) => note.includes('unattended')),
      [true, false],
    );
  });

  it('gives back what was not written, and only that', () => {
    const coverage = tracking();
    coverage.extend(2_000, losses({ ringLost: 1n }));
    coverage.extend(3_000, losses({ ringLost: 1n }));
    const taken = coverage.takeChanged();
    coverage.extend(4_000, losses({ ringLost: 1n })); // while the write is under way
    coverage.failed(taken);
    assert.deepEqual(brief(coverage.takeChanged()), [
      [1_000, 2_000, 1n, false],
      [2_000, 4_000, 0n, false],
    ]);
    coverage.written();
    coverage.extend(5_000, losses({ ringLost: 1n }));
    assert.deepEqual(brief(coverage.takeChanged()), [[2_000, 5_000, 0n, false]]);
  });

  it('keeps a loss also while the wall clock is behind', () => {
    const coverage = tracking(10_000);
    coverage.extend(20_000, losses());
    coverage.extend(15_000, losses()); // set back
    coverage.extend(16_000, losses({ ringLost: 4n }));
    coverage.extend(17_000, losses({ ringLost: 4n }));
    coverage.extend(25_000, losses({ ringLost: 4n }));
    assert.deepEqual(brief(coverage.takeChanged()), [
      [10_000, 20_000, 0n, false],
      [15_000, 16_000, 4n, false],
      [16_000, 25_000, 0n, false],
    ]);
  });

  it('counts flows that were refused as lost, and notes once that history is coarser', () => {
    const coverage = tracking(10_000);
    coverage.extend(20_000, losses());
    for (let n = 0; n < 3; n++) coverage.remark('coarser');
    coverage.lose(7n);
    const [interval] = coverage.takeChanged();
    assert.equal(interval?.lost, 7n);
    assert.equal(interval?.note.match(/coarser/g)?.length, 1);
  });

  it('is bounded while the CMDB is away, the oldest going first', () => {
    const coverage = tracking(0);
    for (let n = 1; n <= 6_000; n++) {
      coverage.extend(n * 10, losses({ ringLost: BigInt(n) }));
      if (n % 100 === 0) coverage.failed(coverage.takeChanged());
    }
    const kept = coverage.takeChanged();
    assert.ok(kept.length <= 5_000);
    assert.equal(coverage.dropped + kept.length, 6_000);
    assert.equal(kept.at(-1)?.to.getTime(), 60_000);
  });

  it('has unique starts, positive lengths, and every loss once, whatever happens', () => {
    const step = fc.record({
      what: fc.constantFrom('extend', 'extend', 'end', 'begin', 'written', 'failed'),
      byMs: fc.integer({ min: -50, max: 100 }),
      lost: fc.constantFrom(0n, 0n, 1n, 5n),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const coverage = tracking(1_000);
        const rows = new Map<number, CoverageRecord>();
        const write = () => {
          const taken = coverage.takeChanged();
          const starts = taken.map((record) => record.from.getTime());
          assert.equal(new Set(starts).size, starts.length);
          for (const record of taken) {
            assert.ok(record.to > record.from);
            rows.set(record.from.getTime(), record);
          }
          coverage.written();
        };
        let endedMs: number | null = null;
        let [atMs, absolute, expected, watching] = [1_000, 0n, 0n, true];
        for (const { what, byMs, lost } of steps) {
          atMs += byMs;
          if (what === 'extend') {
            absolute += lost;
            assert.equal(coverage.extend(atMs, losses({ ringLost: absolute })).lost, lost);
            if (watching) expected += lost;
          } else if (what === 'end') {
            const reported = coverage.end();
            watching = false;
            endedMs ??= reported;
          } else if (what === 'begin') {
            atMs = Math.max(atMs, ...[...rows.keys(), 0].map((ms) => ms + 1_000));
            coverage.begin(STREAM, atMs);
            absolute = 0n;
            watching = true;
            if (endedMs !== null) coverage.gap(endedMs, atMs, '');
            endedMs = null;
          } else if (what === 'failed') coverage.failed(coverage.takeChanged());
          else write();
        }
        write();
        assert.ok([...rows.values()].every(({ from, to }) => to > from));
        const total = [...rows.values()].reduce((sum, { lost }) => sum + lost, 0n);
        assert.equal(total, expected);
      }),
    );
  });
});
