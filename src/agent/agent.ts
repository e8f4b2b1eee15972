import type pino from 'pino';
import type { HelperSupervisor } from '../bpf-ts-loader/index.ts';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import type { ReportedEvent } from '../events/event.ts';
import type { ProcessNamer } from '../process/namer.ts';
import { Backoff } from './backoff.ts';
import type { Outage, Sink, WriteOutcome } from './cmdb-sink.ts';
import type { Watching } from './coverage-tracker.ts';
import type { Flusher } from './flusher.ts';
import type { JsonlOutput } from './jsonl-output.ts';
import { heartbeatMs, type Intervals, Schedule, type ToldFlows } from './schedule.ts';
import type { TracerListener } from './tracer.ts';
import { within } from './within.ts';

export interface AgentParts {
  readonly supervisor: Pick<HelperSupervisor, 'request' | 'stop'>;
  readonly namer: Pick<ProcessNamer, 'sweep'>;
  readonly flusher: Pick<Flusher, 'flush' | 'hold' | 'isQuiet' | 'keep' | 'last'>;
  readonly sink: Pick<Sink, 'stop' | 'outage'>;
  readonly output: Pick<JsonlOutput, 'flush'> | null;
  readonly log: pino.Logger;
}

export interface AgentSettings extends Intervals {
  /** One snapshot, one write, and done. */
  readonly once: boolean;
  /** Milliseconds from any start, never set back. */
  readonly monotonicMs?: () => number;
  /** 0 to 1, for the time between attempts while the CMDB is away. */
  readonly random?: () => number;
}

const REPORT_TIMEOUT_MS = 10_000;
/** To find out which processes are gone takes a look at all there are: no more often than that. */
const SWEEP_INTERVAL_MS = 15_000;
/** All of stop() takes less than SIGTERM's five seconds; its steps, the last gets what is left. */
const STOP_MS = 4_500;
const LAST_REPORT_MS = 1_200;
const LAST_FRAMES_MS = 1_000;
const LAST_WRITE_MS = 1_200;

/** Keeps time: asks the helper for reports and has what changed written to the CMDB. */
export class Agent implements TracerListener {
  readonly #parts: AgentParts;
  readonly #schedule: Schedule;
  readonly #once: boolean;
  readonly #monotonicMs: () => number;
  readonly #backoff: Backoff;
  #timer: NodeJS.Timeout | undefined;
  /** Runs while the CMDB is away: until then nothing is written. */
  #retryTimer: NodeJS.Timeout | undefined;
  /** A flush is under way, or what became of it not taken note of yet. */
  #isWriting = false;
  #isStopping = false;
  #watching: Watching | null = null;
  /** The request under way; one of a helper that is gone no longer counts. */
  #asking: Promise<void> | null = null;
  #flushDue = false;
  #isReady = false;
  #lastReport: ReportedEvent | null = null;
  #lastWriteMs: number | null = null;
  /** The same on the monotonic clock. */
  #writtenMs = Number.NEGATIVE_INFINITY;
  #sweptMs = Number.NEGATIVE_INFINITY;
  #fatal: { readonly error: unknown } | null = null;
  #onFinished: () => void = () => undefined;

  constructor(parts: AgentParts, settings: AgentSettings) {
    this.#parts = parts;
    this.#once = settings.once;
    this.#monotonicMs = settings.monotonicMs ?? (() => performance.now());
    this.#schedule = new Schedule(settings, this.#monotonicMs());
    this.#backoff = new Backoff(settings.random);
  }

  get watchingNow(): Watching | null {
    return this.#watching;
  }

  get lastReport(): ReportedEvent | null {
    return this.#lastReport;
  }

  get outage(): Outage | null {
    return this.#parts.sink.outage;
  }

  /** When the CMDB last took a flush, milliseconds since 1970. */
  get lastWriteMs(): number | null {
    return this.#lastWriteMs;
  }

  get flushIntervalMs(): number {
    return this.#schedule.flushIntervalMs;
  }

  /**
   * Starts keeping time; resolves when a `--once` agent is done, rejects when the CMDB can't be used.
   */
  start(): Promise<void> {
    this.#wind();
    return new Promise((resolve, reject) => {
      this.#onFinished = () =>
        this.#fatal === null ? resolve() : reject(this.#fatal.error as Error);
    });
  }

  changeIntervals(intervals: Intervals): void {
    this.#schedule.change(intervals, this.#monotonicMs());
    this.#wind();
  }

  // ---- told by the tracer ----

  watching(watching: Watching): void {
    this.#watching = watching;
    this.#asking = null;
    this.#schedule.begin(watching.mode !== 'stream', this.#monotonicMs());
    this.#flushDue = true; // what the first snapshot finds is written at once
    this.#tick();
  }

  blind(): void {
    this.#watching = null;
    this.#asking = null;
    this.#wind();
  }

  crowded(): void {
    this.#schedule.crowded(this.#monotonicMs());
    this.#tick(); // now: while frames come fast, a timer waits for all of them
  }

  reported(event: ReportedEvent, lost: bigint, told: ToldFlows): void {
    this.#lastReport = event;
    const isMuch = this.#schedule.drained(told, this.#monotonicMs());
    this.#flushDue ||= isMuch;
    this.#sweep();
    if (this.#isStopping) return; // stop() writes what there is
    if (lost > 0n) {
      this.#schedule.hasten(this.#monotonicMs());
      this.#wind();
    }
    if (!this.#flushDue) return;
    this.#flushDue = false;
    this.#parts.output?.flush();
    if (!this.#mayRest()) this.#flush();
  }

  // ---- keeping time ----

  /** One timer, for what is due next. While a report is under way its end winds the timer. */
  #wind(): void {
    clearTimeout(this.#timer);
    if (this.#isStopping || this.#asking !== null) return;
    const inMs = this.#schedule.nextInMs(this.#monotonicMs());
    this.#timer = setTimeout(() => this.#tick(), inMs);
  }

  #tick(): void {
    if (this.#isStopping || this.#asking !== null) return;
    const due = this.#schedule.due(this.#monotonicMs());
    this.#flushDue ||= due.flush;
    if (this.#watching === null) {
      // Nothing will be reported; but what waits may be written, and an outage may end.
      if (due.flush) this.#flush();
    } else if (due.request !== null) {
      this.#ask(due.request, due.allOwners);
    }
    this.#wind();
  }

  #ask(kind: 'drain' | 'snapshot', allOwners: boolean): void {
    const asking = this.#parts.supervisor
      .request(kind, { allOwners, timeoutMs: REPORT_TIMEOUT_MS })
      .catch((error: unknown) => {
        // The supervisor replaces a helper that is gone or silent; the stream tells.
        this.#parts.log.debug({ err: error, kind }, 'no report');
      })
      .then(() => {
        if (this.#asking !== asking) return;
        this.#asking = null;
        this.#wind();
      });
    this.#asking = asking;
  }

  #sweep(): void {
    const nowMs = this.#monotonicMs();
    if (nowMs - this.#sweptMs < SWEEP_INTERVAL_MS) return;
    this.#sweptMs = nowMs;
    this.#parts.namer.sweep();
  }

  // ---- writing ----

  /** Nothing happened, and the CMDB was told lately that somebody watches. */
  #mayRest(): boolean {
    const { flushIntervalMs } = this.#schedule;
    // Of the flushes to come the nearest one.
    const dueInMs = this.#writtenMs + heartbeatMs(flushIntervalMs) - this.#monotonicMs();
    return dueInMs > flushIntervalMs / 2 && this.#parts.flusher.isQuiet;
  }

  #flush(): void {
    if (this.#isWriting) {
      this.#flushDue = true; // with the next report
      return;
    }
    if (this.#retryTimer !== undefined) {
      this.#parts.flusher.hold();
      return;
    }
    this.#isWriting = true;
    this.#parts.flusher.flush().then(
      (outcome) => this.#flushed(outcome),
      (error: unknown) => this.#fail(error),
    );
  }

  #flushed(outcome: WriteOutcome): void {
    this.#isWriting = false;
    switch (outcome) {
      case 'written':
        this.#backoff.succeeded();
        this.#lastWriteMs = Date.now();
        this.#writtenMs = this.#monotonicMs();
        this.#tellReady();
        break;
      case 'replaced':
      case 'lost-all':
        this.#flushDue = true;
        break;
      case 'rejected':
        if (this.#once) this.#fail(onceFailed());
        break;
      case 'unavailable':
      case 'maybe-written':
        if (this.#once) this.#fail(onceFailed());
        else this.#retryLater();
        break;
    }
  }

  #retryLater(): void {
    if (this.#isStopping) return;
    const delayMs = this.#backoff.failed(this.#schedule.flushIntervalMs);
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.#flush();
    }, delayMs);
  }

  #tellReady(): void {
    if (this.#watching === null || this.#lastReport === null) return;
    if (!this.#isReady) {
      const { mode, attach } = this.#watching;
      this.#isReady = true;
      this.#parts.log.info({ mode, attach }, 'ready');
    }
    if (this.#once) this.#onFinished();
  }

  #fail(error: unknown): void {
    this.#fatal ??= { error };
    this.#onFinished();
  }

  // ---- stopping ----

  /**
   * Takes a last report, writes it or spools it, ends the helper and the sink. Takes less than five
   * seconds whatever hangs; never rejects for what can't be helped any more.
   * @param tracing settles when the tracer has read everything
   */
  async stop(tracing: Promise<unknown>): Promise<void> {
    const { supervisor, flusher, sink, output } = this.#parts;
    const deadlineMs = this.#monotonicMs() + STOP_MS;
    this.#isStopping = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#retryTimer);
    if (this.#watching !== null && !this.#once) await this.#lastRequest(this.#watching);
    const helperGone = this.#tolerated(supervisor.stop());
    // What the tracer failed of is told by whoever started it.
    const read = tracing.catch(() => undefined);
    await within(LAST_FRAMES_MS, Promise.all([helperGone, read]));
    output?.flush();
    if (this.#fatal !== null) flusher.keep();
    else if (!this.#once) await flusher.last(LAST_WRITE_MS);
    const allGone = Promise.all([helperGone, this.#tolerated(sink.stop())]);
    await within(deadlineMs - this.#monotonicMs(), allGone);
  }

  async #lastRequest({ mode }: Watching): Promise<void> {
    const streams = mode === 'stream';
    const kind = streams ? 'drain' : 'snapshot';
    // A poller then judges every connection that it was told of, and asks for the bytes of all.
    const options = { allOwners: !streams, last: !streams, timeoutMs: LAST_REPORT_MS };
    await this.#tolerated(this.#parts.supervisor.request(kind, options));
  }

  /** At the end nothing more can be done about failures. */
  async #tolerated(work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#parts.log.debug({ err: error }, 'while stopping');
    }
  }
}

function onceFailed(): UserError {
  return new UserError(
    ExitCode.cmdbUnreachable,
    'the CMDB did not take the snapshot: nothing was written; the log says why',
  );
}
