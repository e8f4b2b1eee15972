import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CROWDED_FLOWS,
  type Due,
  MAX_UNWRITTEN_FLOWS,
  Schedule,
  type ToldFlows,
} from '../../../src/agent/schedule.ts';

const INTERVALS = { flushIntervalMs: 10_000, reconcileIntervalMs: 30_000, pollIntervalMs: 1_000 };
const NOTHING: Due = { flush: false, request: null, allOwners: false };
const FLUSH: Due = { flush: true, request: 'drain', allOwners: false };
const DRAIN: Due = { flush: false, request: 'drain', allOwners: false };

/** All of them new. */
function told(flows: number): ToldFlows {
  return { all: flows, fresh: flows };
}

/** Ticks whenever something is due, as the agent does. */
function run(schedule: Schedule, fromMs: number, untilMs: number) {
  const ticks: { readonly atMs: number; readonly due: Due }[] = [];
  for (let atMs = fromMs; ; ) {
    atMs += schedule.nextInMs(atMs);
    if (atMs >= untilMs) return ticks;
    ticks.push({ atMs, due: schedule.due(atMs) });
  }
}

function begun(polling: boolean): Schedule {
  const schedule = new Schedule(INTERVALS, 0);
  schedule.begin(polling, 0);
  schedule.due(0);
  return schedule;
}

describe('the schedule', () => {
  it('begins with a snapshot of all owners', () => {
    for (const polling of [false, true]) {
      const schedule = new Schedule(INTERVALS, 0);
      schedule.due(500);
      schedule.begin(polling, 1_000);
      assert.equal(schedule.nextInMs(1_000), 0);
      const first: Due = { flush: false, request: 'snapshot', allOwners: true };
      assert.deepEqual(schedule.due(1_000), first);
      assert.deepEqual(schedule.due(1_001), NOTHING);
    }
  });

  it('streaming, drains at each flush and reconciles now and then', () => {
    const ticks = run(begun(false), 0, 60_000);
    assert.deepEqual(
      ticks.map(({ atMs, due }) => [atMs, due.flush, due.request, due.allOwners]),
      [
        [10_000, true, 'drain', false],
        [20_000, true, 'drain', false],
        [30_000, true, 'snapshot', true],
        [40_000, true, 'drain', false],
        [50_000, true, 'drain', false],
      ],
    );
  });

  it('reconciles on time when the intervals do not fit each other', () => {
    const schedule = new Schedule({ ...INTERVALS, reconcileIntervalMs: 15_000 }, 0);
    schedule.begin(false, 0);
    schedule.due(0);
    const snapshots = run(schedule, 0, 46_000).filter(({ due }) => due.request === 'snapshot');
    assert.deepEqual(
      snapshots.map(({ atMs }) => atMs),
      [15_000, 30_000, 45_000],
    );
  });

  it('polling, takes nothing but snapshots, and all owners when it reconciles', () => {
    const ticks = run(begun(true), 0, 30_500);
    assert.equal(ticks.length, 30);
    assert.ok(ticks.every(({ due }) => due.request === 'snapshot'));
    assert.deepEqual(
      ticks.filter(({ due }) => due.flush).map(({ atMs }) => atMs),
      [10_000, 20_000, 30_000],
    );
    assert.deepEqual(
      ticks.filter(({ due }) => due.allOwners).map(({ atMs }) => atMs),
      [30_000],
    );
  });

  it('does not catch up on what was due while the machine slept', () => {
    const schedule = begun(false);
    assert.equal(schedule.nextInMs(1_000_000), 0);
    assert.equal(schedule.due(1_000_000).flush, true);
    assert.deepEqual(schedule.due(1_000_001), NOTHING);
  });

  it('takes a timer that fired a little early for on time', () => {
    assert.deepEqual(begun(false).due(9_985), FLUSH);
    assert.deepEqual(begun(false).due(9_900), NOTHING);
  });

  it('is hastened by losses, but never more than polling would', () => {
    const schedule = begun(false);
    schedule.hasten(5_000);
    assert.equal(schedule.nextInMs(5_000), 0);
    assert.equal(schedule.due(5_000).request, 'snapshot');
    schedule.hasten(5_100);
    assert.equal(schedule.nextInMs(5_100), 900);
    assert.deepEqual(schedule.due(5_100), NOTHING);
    assert.equal(schedule.due(6_000).request, 'snapshot');
    assert.equal(schedule.nextInMs(6_000), 4_000); // the flush
  });

  it('drains at once when many flows are new, and not over and over', () => {
    const schedule = begun(false);
    schedule.drained(told(10), 0);
    schedule.crowded(3_000);
    assert.deepEqual(schedule.due(3_000), DRAIN);
    schedule.drained(told(CROWDED_FLOWS), 3_000);
    schedule.crowded(3_010);
    assert.equal(schedule.nextInMs(3_010), 490);
    assert.deepEqual(schedule.due(3_500), DRAIN);
    assert.equal(schedule.nextInMs(3_500), 6_500); // the flush comes when it would have
  });

  it('polling, drains nothing for want of room', () => {
    const schedule = begun(true);
    schedule.drained(told(CROWDED_FLOWS * 4), 100);
    schedule.crowded(200);
    assert.equal(schedule.nextInMs(200), 800);
  });

  it('does not flush known flows before it is time', () => {
    const schedule = begun(false);
    schedule.crowded(1_000);
    schedule.due(1_000);
    assert.equal(schedule.drained({ all: 2 * MAX_UNWRITTEN_FLOWS, fresh: 10 }, 1_000), false);
  });

  it('flushes when much was drained, and then a whole interval later', () => {
    const schedule = begun(false);
    const quarter = MAX_UNWRITTEN_FLOWS / 4;
    for (const atMs of [1_000, 2_000, 3_000]) {
      schedule.crowded(atMs);
      assert.deepEqual(schedule.due(atMs), DRAIN);
      assert.equal(schedule.drained(told(quarter), atMs), false);
    }
    schedule.crowded(4_000);
    schedule.due(4_000);
    assert.equal(schedule.drained(told(quarter), 4_000), true);
    assert.equal(schedule.due(13_000).flush, false);
    assert.equal(schedule.due(14_000).flush, true);
    // What comes with the report of a flush is flushed with it.
    assert.equal(schedule.drained(told(MAX_UNWRITTEN_FLOWS), 14_000), false);
  });

  it('drains as often as the flows of the last report ask for', () => {
    const schedule = begun(false);
    schedule.due(10_000);
    schedule.drained(told(CROWDED_FLOWS * 4), 10_000);
    assert.equal(schedule.nextInMs(10_000), 2_500);
    schedule.due(12_500);
    // From when it was asked for, however long it took.
    schedule.drained(told(CROWDED_FLOWS * 2), 13_000);
    assert.equal(schedule.nextInMs(13_000), 750);
    schedule.due(13_750);
    schedule.drained(told(100), 13_750);
    assert.equal(schedule.nextInMs(13_750), 6_250); // until the flush at 20 s
  });

  it('never delays a snapshot by hastening it', () => {
    const schedule = new Schedule({ ...INTERVALS, reconcileIntervalMs: 500 }, 0);
    schedule.begin(false, 0);
    schedule.due(0);
    schedule.hasten(100);
    assert.equal(schedule.nextInMs(100), 400);
  });

  it('holds shorter intervals at once', () => {
    const schedule = new Schedule({ ...INTERVALS, flushIntervalMs: 86_400_000 }, 0);
    schedule.begin(false, 0);
    schedule.due(0);
    schedule.change(INTERVALS, 2_000);
    assert.equal(schedule.nextInMs(2_000), 10_000);
    assert.equal(schedule.flushIntervalMs, 10_000);
  });

  it('holds longer intervals from the next time on', () => {
    const schedule = begun(false);
    schedule.change({ ...INTERVALS, flushIntervalMs: 25_000 }, 2_000);
    assert.deepEqual(
      run(schedule, 2_000, 60_000)
        .filter(({ due }) => due.flush)
        .map(({ atMs }) => atMs),
      [10_000, 35_000],
    );
  });
});
