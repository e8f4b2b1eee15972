import type pino from 'pino';
import type { HelperSupervisor } from '../bpf-ts-loader/index.ts';
import type { ReportedEvent } from '../events/event.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { FlushBatch } from '../flow/records.ts';
import type { ProcessNamer } from '../process/namer.ts';
import type { Sink, WriteOutcome } from './cmdb-sink.ts';
import type { Watching } from './coverage-tracker.ts';
import type { JsonlOutput } from './jsonl-output.ts';
import type { Ledger } from './ledger.ts';
import type { OpenConnectionsFile } from './open-connections.ts';
import { type Intervals, Schedule } from './schedule.ts';
import type { Spool } from './spool.ts';
import type { TracerListener } from './tracer.ts';

export interface AgentParts {
  readonly supervisor: HelperSupervisor;
  readonly namer: ProcessNamer;
  readonly table: FlowTable;
  readonly ledger: Ledger;
  readonly sink: Sink;
  readonly spool: Spool;
  readonly openConnections: OpenConnectionsFile;
  readonly output: JsonlOutput | null;
  readonly log: pino.Logger;
}

/** Within SIGTERM's five seconds: the last report, then the last write. */
const LAST_REPORT_MS = 1_200;
const LAST_WRITE_MS = 1_500;
const ERROR_REPORT_MS = 10_000;

/** Keeps time: asks the helper for reports and hands what changed to the CMDB. */
export class Agent implements TracerListener {
  readonly #parts: AgentParts;
  readonly #schedule: Schedule;
  readonly #once: boolean;
  #timer: NodeJS.Timeout | undefined;
  #watching: Watching | null = null;
  #asked = false;
  #flushDue = false;
  #flushing: Promise<void> = Promise.resolve();
  #isFlushing = false;
  #isReady = false;
  #spoolIsEmpty = false;
  #lastReport: ReportedEvent | null = null;
  #lastWriteMs: number | null = null;
  #fatal: unknown = null;
  #onFinished: () => void = () => undefined;

  constructor(parts: AgentParts, intervals: Intervals, once: boolean) {
    this.#parts = parts;
    this.#once = once;
    this.#schedule = new Schedule(intervals, performance.now());
  }

  get watchingNow(): Watching | null {
    return this.#watching;
  }

  get lastReport(): ReportedEvent | null {
    return this.#lastReport;
  }

  /** When the CMDB last took a flush, milliseconds since 1970. */
  get lastWriteMs(): number | null {
    return this.#lastWriteMs;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * Starts keeping time; resolves when a `--once` agent is done, rejects when the CMDB can't be used.
   */
  start(): Promise<void> {
    this.#tick();
    return new Promise((resolve, reject) => {
      this.#onFinished = () => (this.#fatal === null ? resolve() : reject(this.#fatal));
    });
  }

  changeIntervals(intervals: Intervals): void {
    this.#schedule.change(intervals);
    this.#wind();
  }

  // ---- told by the tracer ----

  watching(watching: Watching): void {
    this.#watching = watching;
    this.#asked = false;
    this.#schedule.begin(watching.mode !== 'stream');
    this.#flushDue = true; // what the first snapshot finds is written at once
    this.#tick();
  }

  blind(): void {
    this.#watching = null;
    this.#asked = false;
  }

  reported(event: ReportedEvent, lost: bigint): void {
    const { namer, output } = this.#parts;
    this.#lastReport = event;
    namer.sweep();
    if (lost > 0n) {
      this.#schedule.hasten();
      this.#wind(0);
    }
    if (!this.#flushDue) return;
    this.#flushDue = false;
    output?.flush();
    this.#startFlush();
  }

  // ---- keeping time ----

  #wind(inMs = this.#schedule.tickMs): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), inMs);
  }

  #tick(): void {
    this.#wind();
    // What is due while a report is under way is due after it.
    if (this.#asked) return;
    const due = this.#schedule.due(performance.now());
    this.#flushDue ||= due.flush;
    if (this.#watching === null) {
      // Nothing will be reported; but what waits may be written, and an outage may end.
      if (due.flush) this.#startFlush();
    } else if (due.request !== null && !this.#asked) {
      this.#ask(due.request, due.allOwners);
    }
  }

  #ask(kind: 'drain' | 'snapshot', allOwners: boolean): void {
    this.#asked = true;
    this.#parts.supervisor
      .request(kind, { allOwners, timeoutMs: ERROR_REPORT_MS })
      .catch((error: unknown) => {
        // The supervisor replaces a helper that is gone or silent; the stream tells.
        this.#parts.log.debug({ err: error, kind }, 'no report');
      })
      .finally(() => {
        this.#asked = false;
      });
  }

  // ---- writing ----

  #startFlush(): void {
    if (this.#isFlushing) {
      this.#flushDue = true; // with the next report
      return;
    }
    this.#isFlushing = true;
    this.#flushing = this.#flush()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#isFlushing = false;
      });
  }

  async #flush(): Promise<void> {
    const { sink, ledger, table, spool, openConnections } = this.#parts;
    if (!this.#spoolIsEmpty) {
      if (!(await sink.connect())) return;
      this.#spoolIsEmpty = await spool.drain(sink);
      if (!this.#spoolIsEmpty) return;
    }
    const outcome = await this.#write(ledger.take(Date.now()));
    ledger.settle(outcome);
    if (outcome === 'lost-all') this.#flushDue = true;
    if (outcome !== 'written') return;
    openConnections.save(table.openConnections());
    this.#lastWriteMs = Date.now();
    this.#tellReady();
  }

  async #write(batch: FlushBatch): Promise<WriteOutcome> {
    try {
      return await this.#parts.sink.write(batch);
    } catch (error) {
      this.#parts.ledger.settle('unavailable');
      throw error;
    }
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
    this.#fatal = error;
    this.#onFinished();
  }

  // ---- stopping ----

  /**
   * Takes a last report, writes it or spools it, ends the helper. Bounded to less than five seconds.
   * @param tracing settles when the tracer has read everything
   */
  async stop(tracing: Promise<unknown>): Promise<void> {
    const { supervisor, output } = this.#parts;
    clearTimeout(this.#timer);
    const polling = this.#watching?.mode !== 'stream';
    if (this.#watching !== null && !this.#once) {
      await supervisor
        .request(polling ? 'snapshot' : 'drain', { timeoutMs: LAST_REPORT_MS })
        .catch((error: unknown) => this.#parts.log.debug({ err: error }, 'no last report'));
    }
    await supervisor.stop();
    clearTimeout(this.#timer);
    await tracing.catch(() => undefined); // told by whoever awaits it
    output?.flush();
    if (this.#fatal === null && !this.#once) await this.#lastFlush();
    await this.#parts.sink.stop();
  }

  async #lastFlush(): Promise<void> {
    const { ledger, table, spool, openConnections, sink } = this.#parts;
    const late = new Promise<'unavailable'>((resolve) => {
      setTimeout(resolve, LAST_WRITE_MS, 'unavailable').unref();
    });
    await Promise.race([this.#flushing, late]);
    if (this.#isFlushing) ledger.settle('unavailable');
    const batch = ledger.take(Date.now());
    const outcome = this.#spoolIsEmpty
      ? await Promise.race([sink.write(batch).catch(() => 'unavailable' as const), late])
      : 'unavailable';
    if (outcome !== 'written') spool.put(batch);
    openConnections.save(table.openConnections());
  }
}
