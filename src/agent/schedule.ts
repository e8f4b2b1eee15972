import { MAX_KERNEL_FLOWS } from '../events/kernel-limits.ts';

/** Intervals of the agent's loop, milliseconds; they may change while it runs. */
export interface Intervals {
  readonly flushIntervalMs: number;
  readonly reconcileIntervalMs: number;
  readonly pollIntervalMs: number;
}

/** Of how many flows a report told. */
export interface ToldFlows {
  readonly all: number;
  /** Announced since the report before. */
  readonly fresh: number;
}

/** What is due at a tick. */
export interface Due {
  readonly flush: boolean;
  /** null: nothing to ask the helper for. */
  readonly request: 'drain' | 'snapshot' | null;
  readonly allOwners: boolean;
}

/**
 * A quarter of the kernel's map: the rest is for what comes until a drain is made. Where flows
 * come fast the agent is busy with them, and learns late how many there are.
 */
export const CROWDED_FLOWS = MAX_KERNEL_FLOWS / 4;
/** Drains for want of room come at most so many times as often as flushes are asked for. */
const MAX_HASTE = 20;
/** So many new flows are written before a flush is due: a larger batch is not worth its memory. */
export const MAX_UNWRITTEN_FLOWS = 16_384;

/** Timers fire a little early or late: what is nearly due must not need a tick of its own. */
const SLACK_MS = 20;

/** The CMDB's readers take a host for watched until a minute after its latest flush. */
const MAX_HEARTBEAT_MS = 40_000;

/** How long after a flush with nothing to tell but that the host is watched the next one is due. */
export function heartbeatMs(flushIntervalMs: number): number {
  return Math.max(flushIntervalMs, Math.min(4 * flushIntervalMs, MAX_HEARTBEAT_MS));
}

/**
 * Says what is due when. Streaming: counts are drained at each flush, and between flushes where the
 * kernel's map of flows would fill up; every so often a snapshot reconciles. Polling: snapshots are all
 * there is, and every so often one looks at all owners anew.
 * The clock is passed in: milliseconds from any start, never set back.
 */
export class Schedule {
  #intervals: Intervals;
  #polling = false;
  #flushAtMs: number;
  /** A drain for want of room. */
  #drainAtMs = Number.POSITIVE_INFINITY;
  #reconcileAtMs: number;
  #pollAtMs: number;
  #snapshotMs = Number.NEGATIVE_INFINITY;
  /** When the latest report was asked for, and the one before. */
  #askedMs: number;
  #askedBeforeMs: number;
  /** What the report under way tells is flushed with it. */
  #isFlushAsked = false;
  #unwrittenFlows = 0;

  constructor(intervals: Intervals, nowMs: number) {
    this.#intervals = intervals;
    this.#flushAtMs = nowMs + intervals.flushIntervalMs;
    this.#reconcileAtMs = nowMs;
    this.#pollAtMs = nowMs;
    this.#askedMs = nowMs;
    this.#askedBeforeMs = nowMs;
  }

  get flushIntervalMs(): number {
    return this.#intervals.flushIntervalMs;
  }

  /** How long until something is due; 0 when it is by now. */
  nextInMs(nowMs: number): number {
    const pollAtMs = this.#polling ? this.#pollAtMs : Number.POSITIVE_INFINITY;
    const nextMs = Math.min(this.#flushAtMs, this.#drainAtMs, this.#reconcileAtMs, pollAtMs);
    return Math.max(0, nextMs - nowMs);
  }

  /** Shorter intervals hold from now on, longer ones from the next time on. */
  change(intervals: Intervals, nowMs: number): void {
    this.#intervals = intervals;
    this.#flushAtMs = Math.min(this.#flushAtMs, nowMs + intervals.flushIntervalMs);
    this.#reconcileAtMs = Math.min(this.#reconcileAtMs, nowMs + intervals.reconcileIntervalMs);
    this.#pollAtMs = Math.min(this.#pollAtMs, nowMs + intervals.pollIntervalMs);
  }

  /** A helper has come up: a snapshot with all owners comes first. */
  begin(polling: boolean, nowMs: number): void {
    this.#polling = polling;
    this.#reconcileAtMs = nowMs;
  }

  /**
   * Something was lost: a snapshot is due soon. Never sooner after another than when polling, so that
   * a host under too much load is not given more.
   */
  hasten(nowMs: number): void {
    const soonMs = Math.max(nowMs, this.#snapshotMs + this.#intervals.pollIntervalMs);
    this.#reconcileAtMs = Math.min(this.#reconcileAtMs, soonMs);
  }

  /** Many flows are new since the last report: the kernel's map of them is to be drained now. */
  crowded(nowMs: number): void {
    this.#drainIn(0, nowMs);
  }

  /**
   * A report told of so many flows: at that pace the next drain is due before the map is full.
   * @returns whether so much waits to be written that it should be now
   */
  drained({ all, fresh }: ToldFlows, nowMs: number): boolean {
    const paceMs = ((this.#askedMs - this.#askedBeforeMs) * CROWDED_FLOWS) / Math.max(all, 1);
    // A few flows in a moment tell nothing of the time to come.
    if (all >= CROWDED_FLOWS / 4) this.#drainIn(paceMs, nowMs);
    this.#unwrittenFlows = this.#isFlushAsked ? 0 : this.#unwrittenFlows + fresh;
    this.#isFlushAsked = false;
    if (this.#unwrittenFlows < MAX_UNWRITTEN_FLOWS) return false;
    this.#unwrittenFlows = 0;
    this.#flushAtMs = nowMs + this.#intervals.flushIntervalMs;
    return true;
  }

  /** Pollers' helpers keep their counts themselves, in a table that grows. */
  #drainIn(paceMs: number, nowMs: number): void {
    if (this.#polling) return;
    const leastMs = this.#intervals.flushIntervalMs / MAX_HASTE;
    const atMs = Math.max(nowMs, this.#askedMs + Math.max(paceMs, leastMs));
    this.#drainAtMs = Math.min(this.#drainAtMs, atMs);
  }

  /** What is due counts as done. */
  due(nowMs: number): Due {
    const { flushIntervalMs, reconcileIntervalMs, pollIntervalMs } = this.#intervals;
    const flush = nowMs + SLACK_MS >= this.#flushAtMs;
    const reconcile = nowMs + SLACK_MS >= this.#reconcileAtMs;
    const poll = this.#polling && (flush || nowMs + SLACK_MS >= this.#pollAtMs);
    const snapshot = reconcile || poll;
    const drain = flush || nowMs + SLACK_MS >= this.#drainAtMs;
    if (flush) this.#flushAtMs = nowMs + flushIntervalMs;
    this.#isFlushAsked ||= flush;
    if (snapshot || drain) this.#asked(nowMs);
    if (reconcile) this.#reconcileAtMs = nowMs + reconcileIntervalMs;
    if (snapshot) {
      this.#pollAtMs = nowMs + pollIntervalMs;
      this.#snapshotMs = nowMs;
    }
    return {
      flush,
      request: snapshot ? 'snapshot' : drain ? 'drain' : null,
      allOwners: reconcile,
    };
  }

  #asked(nowMs: number): void {
    this.#drainAtMs = Number.POSITIVE_INFINITY;
    this.#askedBeforeMs = this.#askedMs;
    this.#askedMs = nowMs;
  }
}
