import type pino from 'pino';
import type { Frame, HelperSupervisor, SupervisorEvent } from '../bpf-ts-loader/index.ts';
import type { CountsEvent, FirstEvent, ReportedEvent, TraceEvent } from '../events/event.ts';
import { EventReader } from '../events/event-reader.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { Attributor } from '../process/attributor.ts';
import type { CoverageTracker, Watching } from './coverage-tracker.ts';
import type { Inventory } from './inventory.ts';
import type { JsonlOutput } from './jsonl-output.ts';

export interface TracerParts {
  readonly supervisor: Pick<HelperSupervisor, 'events'>;
  readonly attributor: Attributor;
  readonly table: FlowTable;
  readonly inventory: Inventory;
  readonly coverage: CoverageTracker;
  readonly output: JsonlOutput | null;
  readonly log: pino.Logger;
}

/** What the tracer tells whoever runs it. */
export interface TracerListener {
  /** A helper has come up. */
  watching(watching: Watching): void;
  /** A report has been taken over; `lost` events are known to have been missed since the last. */
  reported(event: ReportedEvent, lost: bigint): void;
  /** Nobody watches until the next `watching`. */
  blind(): void;
}

type Up = Extract<SupervisorEvent, { kind: 'up' }>;

/**
 * The one loop that owns all state: frames become events, events get the names of their processes,
 * named events are added up in the flow table.
 *
 *             up                     complete snapshot             down
 *   blind ---------> recovering ------------------------> watching ------> blind
 *                     `--- down ---> blind
 *
 * While recovering, connections that were open before are found again and not counted anew.
 */
export class Tracer {
  readonly #parts: TracerParts;
  readonly #listener: TracerListener;
  #reader = new EventReader((event) => this.#handle(event));
  /** Nobody watched since, and no complete snapshot has repaired that yet. */
  #blindSinceMs: number | null = null;
  #upMs = 0;
  #recovering = true;
  #mode: Watching['mode'];

  constructor(parts: TracerParts, mode: 'once' | 'continuous', listener: TracerListener) {
    this.#parts = parts;
    this.#listener = listener;
    this.#mode = mode === 'once' ? 'once' : 'stream';
  }

  /** Runs until the supervisor is stopped; throws when the helper can't run here. */
  async run(): Promise<void> {
    for await (const event of this.#parts.supervisor.events) {
      switch (event.kind) {
        case 'up':
          this.#up(event);
          break;
        case 'frames':
          this.#read(event.frames);
          break;
        case 'down':
          this.#down(event.at.getTime(), event.reason, event.retryInMs);
          break;
      }
    }
  }

  #up({ hello, rungs, restarts }: Up): void {
    const { log, table, coverage } = this.#parts;
    const refused = rungs.filter((rung) => rung.error !== 0);
    for (const { rung, text } of refused) log.info({ rung, reason: text }, 'rung refused');
    const attach = hello.rung === 'poll' ? null : hello.rung;
    const mode = this.#mode === 'once' ? 'once' : attach === null ? 'poll' : 'stream';
    const note = refused.map(({ rung, text }) => `${rung} refused: ${text}`).join('; ');
    log.info({ mode, attach, kernel: hello.release, restarts, helperPid: hello.pid }, 'attached');
    this.#reader = new EventReader((event) => this.#handle(event));
    this.#reader.read(hello);
    this.#recovering = true;
    table.setHomeNetns(hello.netns);
    const watching = { mode, attach, note } as const;
    this.#upMs = Number(hello.wallNs / 1_000_000n);
    coverage.begin(watching, this.#upMs);
    this.#listener.watching(watching);
  }

  #down(atMs: number, reason: Error, retryInMs: number | null): void {
    const { log, table, coverage } = this.#parts;
    log.warn({ reason: reason.message, retryInMs }, 'the helper is gone');
    // What was counted after the last report is gone with the helper. Of several failed starts only
    // the first begins the gap.
    const reportedMs = coverage.end();
    this.#blindSinceMs ??= reportedMs ?? atMs;
    table.roll(atMs); // the bucket that the helper died in has a row as well
    table.suspend();
    this.#listener.blind();
  }

  #read(frames: readonly Frame[]): void {
    for (const frame of frames) this.#reader.read(frame);
  }

  #handle(event: TraceEvent): void {
    this.#parts.attributor.observe(event);
    switch (event.kind) {
      case 'first':
        this.#first(event);
        break;
      case 'counts':
        this.#counts(event);
        break;
      case 'reported':
        this.#reported(event);
        break;
      case 'listen-opened':
      case 'listen-closed':
      case 'listeners':
        break; // the attributor's
    }
  }

  #first(event: FirstEvent): void {
    const { attributor, inventory, table, output } = this.#parts;
    const process = attributor.announced(event.flow, event.identity);
    const flow = table.announce(event.flow, inventory.note(process), event.atMs);
    if (flow !== null) output?.firstSeen(flow, process, event.peerPort);
  }

  #counts(event: CountsEvent): void {
    const { attributor, inventory, table, output } = this.#parts;
    const process = attributor.counted(event.flow);
    const flow = table.add(event, inventory.note(process));
    if (flow !== null) output?.changed(flow, process);
  }

  #reported(event: ReportedEvent): void {
    const { table, coverage, log } = this.#parts;
    if (this.#recovering && event.snapshot) {
      this.#recovering = event.partial;
      if (!event.partial) table.settle();
      this.#closeGap();
    }
    table.roll(event.atMs);
    const lost = coverage.extend(event.atMs, event.losses);
    if (lost > 0n) log.warn({ lost: Number(lost), losses: loggable(event) }, 'events were lost');
    this.#listener.reported(event, lost);
  }

  /** What was open when a helper came up, its first snapshot has found; what closed before is lost. */
  #closeGap(): void {
    if (this.#blindSinceMs === null) return;
    const { coverage, log } = this.#parts;
    coverage.gap(this.#blindSinceMs, this.#upMs, 'the helper was gone; repaired by a snapshot');
    log.info({ gapMs: this.#upMs - this.#blindSinceMs }, 'watching again; the gap was repaired');
    this.#blindSinceMs = null;
  }
}

function loggable({ losses }: ReportedEvent): Record<string, string> {
  return Object.fromEntries(Object.entries(losses).map(([name, n]) => [name, n.toString()]));
}
