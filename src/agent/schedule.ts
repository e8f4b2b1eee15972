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

/**
 * Says what is due when. Streaming: counts are drained at each flush, and every so often a snapshot
 * reconciles. Polling: snapshots are all there is, and every so often one looks at all owners anew.
 * The clock is passed in, milliseconds from any start.
 */
export class Schedule {
  #intervals: Intervals;
  #polling = false;
  #nextFlushMs: number;
  #nextReconcileMs = 0;
  #nextPollMs = 0;

  constructor(intervals: Intervals, nowMs: number) {
    this.#intervals = intervals;
    this.#nextFlushMs = nowMs + intervals.flushIntervalMs;
  }

  /** How often to ask what is due. */
  get tickMs(): number {
    const { flushIntervalMs, reconcileIntervalMs, pollIntervalMs } = this.#intervals;
    return Math.min(flushIntervalMs, this.#polling ? pollIntervalMs : reconcileIntervalMs);
  }

  change(intervals: Intervals): void {
    this.#intervals = intervals;
  }

  /** A helper has come up: a snapshot with all owners comes first. */
  begin(polling: boolean): void {
    this.#polling = polling;
    this.#nextReconcileMs = 0;
    this.#nextPollMs = 0;
  }

  /** Something was lost: a snapshot is due at once. */
  hasten(): void {
    this.#nextReconcileMs = 0;
    this.#nextPollMs = 0;
  }

  due(nowMs: number): Due {
    // Timers fire a little early or late; a tick that is nearly due must not wait for the next.
    const slackMs = nowMs + this.tickMs / 10;
    const flush = slackMs >= this.#nextFlushMs;
    const reconcile = slackMs >= this.#nextReconcileMs;
    const poll = this.#polling && slackMs >= this.#nextPollMs;
    if (flush) this.#nextFlushMs = nowMs + this.#intervals.flushIntervalMs;
    if (reconcile) this.#nextReconcileMs = nowMs + this.#intervals.reconcileIntervalMs;
    if (poll) this.#nextPollMs = nowMs + this.#intervals.pollIntervalMs;
    const snapshot = this.#polling ? poll || flush : reconcile;
    return {
      flush,
      request: snapshot ? 'snapshot' : flush ? 'drain' : null,
      allOwners: reconcile,
    };
  }
}
