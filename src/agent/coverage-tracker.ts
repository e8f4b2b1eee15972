import type { Losses } from '../events/event.ts';
import type { CoverageRecord } from '../flow/records.ts';

export interface Watching {
  readonly mode: CoverageRecord['mode'];
  readonly attach: CoverageRecord['attach'];
  readonly note: string;
}

/** Absolute since the programs were attached, or between two reports. */
export interface KnownLosses {
  /** Events that are known to have been missed. */
  readonly lost: bigint;
  readonly missedProbes: bigint;
}

interface Interval extends Omit<Watching, 'note'> {
  note: string;
  readonly fromMs: number;
  toMs: number;
  lost: bigint;
  missedProbes: bigint;
  readonly gap: boolean;
  dirty: boolean;
  /** More than its end has changed since it was last handed out. */
  hasNews: boolean;
}

/**
 * Intervals that wait while the CMDB is away. Of more the oldest are dropped: that time then counts
 * as not watched.
 */
const MAX_WAITING = 5_000;

/** Reports are further apart, and clocks are corrected by less without a step. */
const CLOCK_STEP_MS = 1_000;

/** What is known to be lost, in one number. Vanished processes and refused namespaces are not. */
export function lostOf(losses: Losses): bigint {
  return losses.ringLost + losses.flowsFull + losses.socketsFull + losses.noticesLost;
}

/**
 * Who watched when, and what is known to be missed: "no edge" means something only where somebody
 * watched. An interval grows from report to report; one in which something was lost stands alone, so
 * that the loss is dated. Times are milliseconds since 1970.
 */
export class CoverageTracker {
  #intervals: Interval[] = [];
  #current: Interval | null = null;
  #watching: Watching | null = null;
  #lost = 0n;
  #missedProbes = 0n;
  #dropped = 0;
  /** The current interval is that of a {@link CoverageTracker.resume}. */
  #isBridge = false;

  /** Intervals dropped because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Losses told so far, absolute: what a later {@link CoverageTracker.resume} begins with. */
  get known(): KnownLosses {
    return { lost: this.#lost, missedProbes: this.#missedProbes };
  }

  /** Nothing to write but that watching went on. */
  get isQuiet(): boolean {
    return !this.#intervals.some((each) => each.hasNews && each.toMs > each.fromMs);
  }

  /** Watching begins (again); the losses of newly attached programs start at zero. */
  begin(watching: Watching, atMs: number): void {
    this.end();
    this.#watching = watching;
    this.#lost = 0n;
    this.#missedProbes = 0n;
    this.#current = this.#open(watching, atMs, atMs, false);
  }

  /**
   * The programs have watched since `fromMs`, though nobody asked them; the next report tells what.
   * @param note why nobody did
   * @param known losses told up to `fromMs`
   */
  resume(watching: Watching, fromMs: number, note: string, known: KnownLosses): void {
    this.end();
    this.#watching = watching;
    this.#lost = known.lost;
    this.#missedProbes = known.missedProbes;
    const notes = [watching.note, note].filter((each) => each !== '').join('; ');
    this.#current = this.#open({ ...watching, note: notes }, fromMs, fromMs, false);
    this.#isBridge = true;
  }

  /**
   * Watched up to `atMs`.
   * @param losses absolute since the helper's start
   * @returns what was lost since the previous report
   */
  extend(atMs: number, losses: Losses): KnownLosses {
    const lost = lostOf(losses) - this.#lost;
    const missedProbes = losses.missedProbes - this.#missedProbes;
    this.#lost += lost;
    this.#missedProbes += missedProbes;
    if (this.#current === null || this.#watching === null) return { lost, missedProbes };
    if (atMs < this.#current.toMs - CLOCK_STEP_MS) {
      // The clock was set back: what is watched from now on is another interval.
      this.#current = this.#open(this.#watching, atMs, atMs, false);
    }
    if (lost > 0n || missedProbes > 0n) {
      const lossy = this.#standAlone(this.#current, this.#watching);
      // Also where the wall clock was set back: an interval without length would not be written.
      this.#grow(lossy, Math.max(atMs, lossy.fromMs + 1));
      lossy.lost += lost;
      lossy.missedProbes += missedProbes;
      lossy.hasNews = true;
      this.#current = this.#open(this.#watching, lossy.toMs, lossy.toMs, false);
    } else {
      this.#grow(this.#current, atMs);
      if (this.#isBridge) this.#current = this.#open(this.#watching, atMs, atMs, false);
    }
    this.#isBridge = false;
    return { lost, missedProbes };
  }

  /**
   * Nobody watches from the last report on: what was counted since is gone with the helper.
   * @returns the time of that report, null when nobody watched
   */
  end(): number | null {
    const ended = this.#current;
    this.#current = null;
    this.#isBridge = false;
    if (ended === null) return null;
    if (ended.toMs === ended.fromMs) {
      this.#intervals = this.#intervals.filter((each) => each !== ended);
    }
    return ended.toMs;
  }

  /** Nothing is known of the time between these. */
  gap(fromMs: number, toMs: number, note: string): void {
    const { mode, attach } = this.#watching ?? { mode: 'poll', attach: null };
    const gap = this.#open({ mode, attach, note }, fromMs, toMs, true);
    this.#grow(gap, gap.fromMs + 1);
  }

  /** So many flows that were traced will never be in the CMDB. */
  lose(flows: bigint): void {
    if (this.#current === null) return;
    this.#current.lost += flows;
    this.#current.dirty = true;
    this.#current.hasNews = true;
  }

  /** Adds to the note of the current interval, once. */
  remark(text: string): void {
    const current = this.#current;
    if (current === null || current.note.includes(text)) return;
    current.note = current.note === '' ? text : `${current.note}; ${text}`;
    current.dirty = true;
    current.hasNews = true;
  }

  /** Intervals that changed since they were last written; `failed` gives them back. */
  takeChanged(): CoverageRecord[] {
    const changed = this.#intervals.filter((each) => each.dirty && each.toMs > each.fromMs);
    for (const interval of changed) {
      interval.dirty = false;
      interval.hasNews = false;
    }
    return changed.map(recordOf);
  }

  written(): void {
    this.#intervals = this.#intervals.filter((each) => each.dirty || each === this.#current);
  }

  failed(records: readonly CoverageRecord[]): void {
    const starts = new Set(records.map((record) => record.from.getTime()));
    for (const each of this.#intervals) {
      if (!starts.has(each.fromMs)) continue;
      each.dirty = true;
      each.hasNews = true;
    }
    const excess = this.#intervals.length - MAX_WAITING;
    if (excess <= 0) return;
    this.#dropped += excess;
    this.#intervals = this.#intervals.slice(excess); // the current one is among the last
  }

  /** The interval since the previous report. */
  #standAlone(current: Interval, watching: Watching): Interval {
    if (current.toMs === current.fromMs) return current;
    return this.#open(watching, current.toMs, current.toMs, false);
  }

  #open(watching: Watching, fromMs: number, toMs: number, gap: boolean): Interval {
    const { mode, attach, note } = watching;
    // Rows are keyed by their start: a gap and what follows it must not share one.
    const taken = new Set(this.#intervals.map((each) => each.fromMs));
    let startMs = fromMs;
    while (taken.has(startMs)) startMs += 1;
    const interval: Interval = {
      mode,
      attach,
      note,
      fromMs: startMs,
      toMs: Math.max(startMs, toMs),
      lost: 0n,
      missedProbes: 0n,
      gap,
      dirty: true,
      hasNews: true,
    };
    this.#intervals.push(interval);
    return interval;
  }

  #grow(interval: Interval, toMs: number): void {
    if (toMs <= interval.toMs) return; // the wall clock was set back
    interval.toMs = toMs;
    interval.dirty = true;
  }
}

function recordOf(interval: Interval): CoverageRecord {
  const { fromMs, toMs, dirty: _, hasNews: _n, ...rest } = interval;
  return { ...rest, from: new Date(fromMs), to: new Date(toMs) };
}
