import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FlowCounts } from '../../../src/bpf-ts-loader/index.ts';
import { Bucket } from '../../../src/flow/bucket.ts';
import { Flow } from '../../../src/flow/flow.ts';
import type { Side } from '../../../src/flow/records.ts';
import { BUCKET_MS, NOTHING, nonZero, START_MS } from './support.ts';

function flow(side: Side = 'active'): Flow {
  const ids = { flowId: '1', edgeId: '2', side, processId: '3', scope: '' };
  const edge = { activeAddress: '10.0.0.11', passiveAddress: '10.0.0.10', passivePort: 80 };
  return new Flow({ ...ids, ...edge }, START_MS, START_MS);
}

/** Rolls and adds as the table does; times in ms after START_MS. */
function add(to: Flow, atMs: number, counts: Partial<FlowCounts>): void {
  to.roll(START_MS + atMs, BUCKET_MS);
  to.add({ ...NOTHING, ...counts }, START_MS + atMs, START_MS + atMs, ['stream']);
}

function rows(of: Flow) {
  return of.record(BUCKET_MS).buckets.map(nonZero);
}

describe('Bucket', () => {
  it('adds up every kind of count, bytes by the side that sent them', () => {
    const counts = { ...NOTHING, refused: 1, timedOut: 2, unreachable: 3, failedOther: 4 };
    const more = { bytesSent: 1n << 60n, bytesReceived: 5n, retransmits: 6, opened: 7, closed: 2 };
    for (const [side, toPassive, toActive] of [
      ['active', 1n << 61n, 10n],
      ['passive', 10n, 1n << 61n],
    ] as const) {
      const bucket = new Bucket(START_MS, 0);
      bucket.add({ ...counts, ...more }, side, 0, 0);
      bucket.add({ ...counts, ...more }, side, 0, 0);
      assert.deepEqual(bucket.record(BUCKET_MS), {
        bucketStart: new Date(START_MS),
        bucketSeconds: 1,
        opened: 14,
        openAtStart: 0,
        openMax: 10,
        openNow: 10,
        failedRefused: 2,
        failedTimedOut: 4,
        failedUnreachable: 6,
        failedOther: 8,
        bytesToPassive: toPassive,
        bytesToActive: toActive,
        retransmits: 12,
      });
    }
  });

  it('had a connection open if one opened and closed between two reports', () => {
    const bucket = new Bucket(START_MS, 0);
    bucket.add({ ...NOTHING, opened: 5, closed: 5 }, 'active', 0, 0);
    assert.deepEqual([bucket.openMax, bucket.openNow], [1, 0]);
  });

  it('never has less than nothing open', () => {
    const bucket = new Bucket(START_MS, 1);
    bucket.add({ ...NOTHING, closed: 2 }, 'active', 0, 0);
    bucket.add({ ...NOTHING, opened: 1 }, 'active', 0, 0);
    assert.deepEqual([bucket.openNow, bucket.openMax], [1, 1]);
  });

  it('is at least a second long', () => {
    assert.equal(new Bucket(START_MS, 0).record(100).bucketSeconds, 1);
  });
});

describe('Flow', () => {
  it('says nothing of buckets in which nothing happened', () => {
    const it = flow();
    assert.equal(it.isDirty, false);
    add(it, 0, { opened: 1, closed: 1 });
    add(it, 5_000, { refused: 1 });
    it.roll(START_MS + 9_000, BUCKET_MS);
    assert.deepEqual(rows(it), [
      { at: 0, opened: 1, openMax: 1 },
      { at: 5_000, failedRefused: 1 },
    ]);
  });

  it('has a row for every bucket in which a connection was open', () => {
    const it = flow();
    add(it, 1_500, { opened: 2 });
    it.roll(START_MS + 3_999, BUCKET_MS);
    add(it, 4_000, { closed: 2 });
    it.roll(START_MS + 9_000, BUCKET_MS);
    assert.deepEqual(rows(it), [
      { at: 1_000, opened: 2, openMax: 2, openNow: 2 },
      { at: 2_000, openAtStart: 2, openMax: 2, openNow: 2 },
      { at: 3_000, openAtStart: 2, openMax: 2, openNow: 2 },
      { at: 4_000, openAtStart: 2, openMax: 2 },
    ]);
  });

  it('writes no row for each of the many buckets that a stepped clock skips', () => {
    const it = flow();
    add(it, 0, { opened: 1 });
    const years = 40 * 365 * 86_400_000;
    it.roll(START_MS + years, BUCKET_MS);
    assert.deepEqual(rows(it), [
      { at: 0, opened: 1, openMax: 1, openNow: 1 },
      { at: years, openAtStart: 1, openMax: 1, openNow: 1 },
    ]);
  });

  it('stays in its bucket when the clock goes back', () => {
    const it = flow();
    add(it, 2_000, { opened: 1 });
    add(it, 1_000, { opened: 1 });
    assert.deepEqual(rows(it), [{ at: 2_000, opened: 2, openMax: 2, openNow: 2 }]);
    assert.equal(it.firstSeenMs, START_MS);
    assert.equal(it.lastSeenMs, START_MS + 2_000);
  });

  it('does not count again what it finds after an interruption', () => {
    const it = flow();
    add(it, 0, { opened: 3 });
    it.suspend();
    assert.deepEqual([it.open, it.openOrSuspended], [0, 3]);
    add(it, 500, { found: 2 });
    it.settle();
    assert.deepEqual([it.open, it.openOrSuspended, it.opened], [2, 2, 3]);
    it.suspend();
    add(it, 2_500, { found: 3 });
    assert.deepEqual(rows(it), [
      { at: 0, opened: 3, openMax: 3 },
      { at: 2_000, opened: 1, openAtStart: 2, openMax: 3, openNow: 3 },
    ]);
    assert.equal(it.opened, 4);
  });

  it('knows what was open before its bucket through one interruption after another', () => {
    const it = flow();
    add(it, 0, { opened: 2 });
    it.suspend();
    add(it, 1_000, { found: 1 });
    it.suspend();
    add(it, 1_500, { found: 2 });
    assert.deepEqual(rows(it).at(-1), { at: 1_000, openAtStart: 2, openMax: 2, openNow: 2 });
    assert.equal(it.opened, 2);
  });

  it('forgets what a snapshot did not find again', () => {
    const it = flow();
    add(it, 0, { opened: 2 });
    it.suspend();
    it.settle();
    add(it, 100, { found: 2 });
    assert.equal(it.opened, 4);
  });

  it('counts what an earlier agent left open as open before, not as new', () => {
    const it = flow();
    it.restore(2);
    add(it, 0, { found: 3 });
    assert.deepEqual(rows(it), [{ at: 0, opened: 1, openAtStart: 2, openMax: 3, openNow: 3 }]);
  });

  it('dates itself by its first and last sign of life', () => {
    const it = flow();
    add(it, 500, { opened: 1 });
    it.roll(START_MS + 3_700, BUCKET_MS);
    assert.equal(it.lastSeenMs, START_MS + 3_000, 'open when that bucket began');
    add(it, 3_800, { closed: 1 });
    it.roll(START_MS + 9_000, BUCKET_MS);
    assert.equal(it.lastSeenMs, START_MS + 3_800);
    const { firstSeen, lastSeen, foundBy } = it.record(BUCKET_MS);
    assert.deepEqual(
      [firstSeen.getTime(), lastSeen.getTime(), foundBy],
      [START_MS, START_MS + 3_800, ['stream']],
    );
  });

  it('hands out a bucket again after a failed write, with what came since', () => {
    const it = flow();
    add(it, 0, { opened: 1, closed: 1 });
    const taken = it.takeDirty();
    assert.equal(it.isDirty, false);
    add(it, 100, { refused: 1 });
    add(it, 1_100, { opened: 1 });
    it.takeDirty(); // makes the first one droppable
    it.roll(START_MS + 2_000, BUCKET_MS);
    it.markDirty(taken);
    assert.deepEqual(
      rows(it).map(({ at }) => at),
      [0, 2_000],
    );
    assert.deepEqual(rows(it)[0], { at: 0, opened: 1, openMax: 1, failedRefused: 1 });
  });

  it('says everything that it still has, and no more, when all is asked for', () => {
    const it = flow();
    add(it, 0, { opened: 1, closed: 1 });
    it.takeDirty();
    it.markAll();
    assert.equal(rows(it).length, 1);
    it.takeDirty();
    it.roll(START_MS + 1_000, BUCKET_MS);
    it.markAll();
    assert.deepEqual(rows(it), [], 'an empty bucket has no row');
  });

  it('is idle once it is written, closed and its bucket is over', () => {
    const it = flow();
    add(it, 0, { opened: 1 });
    const idle = (): boolean => it.isIdle(START_MS + BUCKET_MS);
    it.takeDirty();
    assert.equal(idle(), false, 'open');
    it.suspend();
    it.takeDirty();
    assert.equal(idle(), false, 'may be open');
    it.settle();
    assert.equal(idle(), true);
    assert.equal(it.isIdle(START_MS), false, 'its bucket is not over');
    add(it, 100, { bytesSent: 1n });
    assert.equal(idle(), false, 'not written');
  });
});
