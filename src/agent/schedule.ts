/** Intervals of the agent's loop, milliseconds; they may change while it runs. */
export interface Intervals {
  readonly flushIntervalMs: number;
  readonly reconcileIntervalMs: number;
  readonly pollIntervalMs: number;
}

/** What is due at a tick. */
export interface Due {
  readonly flush: boolean;
  /** null: nothing to ask the helper for. */
  readonly request: 'drain' | 'snapshot' | null;
  readonly allOwners: boolean;
}

/** Half of the helper's --max-flows: the rest is for what comes while a drain is on its way. */
export const CROWDED_FLOWS = 8_192;
/** Drains for want of room come at most so many times as often as flushes are asked for. */
const MAX_HASTE = 20;

/** Timers fire a little early or late: what is nearly due must not need a tick of its own. */
const SLACK_MS = 20;

/** The CMDB's readers take a host for watched until a minute after its latest flush. */
const MAX_HEARTBEAT_MS = 40_000;

/** How long after a flush with nothing to tell but that the host is watched the next one is due. */
export function heartbeatMs(flushIntervalMs: number): number {
  return Math.max(flushIntervalMs, Math.min(4 * flushIntervalMs, MAX_HEARTBEAT_MS));
}

/**
 * Says what is due when. Streaming: counts are drained at each flush, and every so often a snapshot
 * reconciles. Polling: snapshots are all there is, and every so often one looks at all owners anew.
 * The clock is passed in: milliseconds from any start, never set back.
 */
export class Schedule {
  #intervals: Intervals;
  #polling = false;
  #flushAtMs: number;
  #reconcileAtMs: number;
  #pollAtMs: number;
  #snapshotMs = Number.NEGATIVE_INFINITY;
  #drainedMs: number;

  constructor(intervals: Intervals, nowMs: number) {
    this.#intervals = intervals;
    this.#flushAtMs = nowMs + intervals.flushIntervalMs;
    this.#reconcileAtMs = nowMs;
    this.#pollAtMs = nowMs;
    this.#drainedMs = nowMs;
  }

  get flushIntervalMs(): number {
    return this.#intervals.flushIntervalMs;
  }

  /** How long until something is due; 0 when it is by now. */
  nextInMs(nowMs: number): number {
    const pollAtMs = this.#polling ? this.#pollAtMs : Number.POSITIVE_INFINITY;
    return Math.max(0, Math.min(this.#flushAtMs, this.#reconcileAtMs, pollAtMs) - nowMs);
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
    this.#flushAtMs = Math.min(this.#flushAtMs, this.#notBefore(nowMs));
  }

  /** A report told of so many flows: at that pace the next one is due before the map is full. */
  drained(flows: number, nowMs: number): void {
    const paceMs = ((nowMs - this.#drainedMs) * CROWDED_FLOWS) / Math.max(flows, 1);
    this.#drainedMs = nowMs;
    // A few flows in a moment tell nothing of the time to come.
    if (flows < CROWDED_FLOWS / 4 || paceMs >= this.#intervals.flushIntervalMs) return;
    this.#flushAtMs = Math.min(this.#flushAtMs, Math.max(nowMs + paceMs, this.#notBefore(nowMs)));
  }

  #notBefore(nowMs: number): number {
    return Math.max(nowMs, this.#drainedMs + this.#intervals.flushIntervalMs / MAX_HASTE);
  }

  /** What is due counts as done. */
  due(nowMs: number): Due {
    const { flushIntervalMs, reconcileIntervalMs, pollIntervalMs } = this.#intervals;
    const flush = nowMs + SLACK_MS >= this.#flushAtMs;
    const reconcile = nowMs + SLACK_MS >= this.#reconcileAtMs;
    const poll = this.#polling && (flush || nowMs + SLACK_MS >= this.#pollAtMs);
    const snapshot = reconcile || poll;
    if (flush) this.#flushAtMs = nowMs + flushIntervalMs;
    if (reconcile) this.#reconcileAtMs = nowMs + reconcileIntervalMs;
    if (snapshot) {
      this.#pollAtMs = nowMs + pollIntervalMs;
      this.#snapshotMs = nowMs;
    }
    return {
      flush,
      request: snapshot ? 'snapshot' : flush ? 'drain' : null,
      allOwners: reconcile,
    };
  }
}
