import type pino from 'pino';
import type {
  Frame,
  HelloFrame,
  HelperSupervisor,
  SupervisorEvent,
} from '../bpf-ts-loader/index.ts';
import type {
  CountsEvent,
  FirstEvent,
  GenerationEvent,
  ReportedEvent,
  TraceEvent,
} from '../events/event.ts';
import { EventReader } from '../events/event-reader.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { Attributor } from '../process/attributor.ts';
import type { CoverageTracker, Watching } from './coverage-tracker.ts';
import type { Inventory } from './inventory.ts';
import type { JsonlOutput } from './jsonl-output.ts';
import type { Mark } from './mark.ts';
import { CROWDED_FLOWS, type ToldFlows } from './schedule.ts';

export interface TracerParts {
  readonly supervisor: Pick<HelperSupervisor, 'events' | 'acknowledge'>;
  readonly attributor: Attributor;
  readonly table: FlowTable;
  readonly inventory: Inventory;
  readonly coverage: CoverageTracker;
  readonly output: JsonlOutput | null;
  readonly log: pino.Logger;
  /** Its position is the previous agent's at first, null where there was none. */
  readonly mark: Mark;
}

/** What the tracer tells whoever runs it. */
export interface TracerListener {
  /** A helper has come up. */
  watching(watching: Watching): void;
  /**
   * A report has been taken over; `lost` events or executions are known to have been missed since the
   * last.
   */
  reported(event: ReportedEvent, lost: bigint, told: ToldFlows): void;
  /** So many flows are new since the last report that the kernel's map of them fills up. */
  crowded(): void;
  /** Nobody watches until the next `watching`. */
  blind(): void;
}

type Up = Extract<SupervisorEvent, { kind: 'up' }>;

const UNATTENDED = 'counted by pinned programs while nobody asked them';

/**
 * The one loop that owns all state: frames become events, events get the names of their processes,
 * named events are added up in the flow table.
 *
 *             up                     complete snapshot             down
 *   blind ---------> recovering ------------------------> watching ------> blind
 *                     `--- down ---> blind
 *
 * While recovering, connections that were open before are found again and not counted anew. Where
 * pinned programs went on counting there was no blindness: what they counted comes with the first
 * report.
 */
export class Tracer {
  readonly #parts: TracerParts;
  readonly #listener: TracerListener;
  #reader = new EventReader((event) => this.#handle(event));
  /** Nobody watched since, and no complete snapshot has repaired that yet. */
  #blindSinceMs: number | null = null;
  #upMs = 0;
  /** When the latest helper went. */
  #downMs = 0;
  /** The pinned programs of the latest helper; '' when it pinned nothing. */
  #setId = '';
  /** Open connections were not set aside when the helper went: its programs may have watched on. */
  #suspendDue = false;
  /** No helper came up yet: what is known of counts is the previous agent's note. */
  #isFirst = true;
  /** The counts being read were told before. */
  #isRepeated = false;
  #recovering = true;
  /** Flows since the last report: announced, and counted in the one under way. */
  #announced = 0;
  #counted = 0;
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

  #up(up: Up): void {
    const { hello, rungs } = up;
    const attach = hello.rung === 'poll' ? null : hello.rung;
    const mode = this.#mode === 'once' ? 'once' : attach === null ? 'poll' : 'stream';
    const note = rungs
      .flatMap(({ rung, error, text }) => (error === 0 ? [] : [`${rung} refused: ${text}`]))
      .join('; ');
    const watching = { mode, attach, note } as const;
    this.#logUp(up, watching);
    this.#reader = new EventReader((event) => this.#handle(event));
    this.#reader.read(hello);
    this.#recovering = true;
    this.#isRepeated = false;
    this.#parts.table.setHomeNetns(hello.netns);
    this.#upMs = Number(hello.wallNs / 1_000_000n);
    this.#setId = hello.setId === 0n ? '' : hello.setId.toString();
    this.#takeUp(hello, watching);
    this.#listener.watching(watching);
  }

  #logUp({ hello, rungs, restarts }: Up, { mode, attach }: Watching): void {
    const { log } = this.#parts;
    const { pinned, adopted } = hello.features;
    const used = rungs.find((rung) => rung.error === 0);
    for (const { rung, error, text } of rungs) {
      if (error !== 0) log.info({ rung, reason: text }, 'rung refused');
    }
    log.info(
      {
        ...{ mode, attach, kernel: hello.release, restarts, helperPid: hello.pid, pinned, adopted },
        ...(pinned || !used?.text ? {} : { unpinned: used.text }),
      },
      'attached',
    );
  }

  /** Goes on where the previous helper, or agent, left off. */
  #takeUp({ features, setId, droppedGeneration }: HelloFrame, watching: Watching): void {
    const { coverage, mark, supervisor, table } = this.#parts;
    const { position } = mark;
    if (position === null || setId === 0n || position.setId !== setId.toString()) {
      this.#suspend();
      coverage.begin(watching, this.#upMs);
      mark.position = null;
      this.#isFirst = false;
      return;
    }
    if (this.#isFirst) {
      table.trustRestored();
      supervisor.acknowledge(position.generation); // in the CMDB, or spooled
    }
    this.#isFirst = false;
    if (!features.adopted) {
      // Others took their place: those open then are to be found again, after what was counted.
      this.#suspendDue = true;
      this.#blindSinceMs ??= position.atMs;
      coverage.begin(watching, this.#upMs);
      return;
    }
    this.#suspendDue = false;
    this.#blindSinceMs = null;
    coverage.resume(watching, position.atMs, UNATTENDED, position.known);
    if (droppedGeneration > position.generation) {
      coverage.gap(position.atMs, this.#upMs, 'counts found no room in the kernel');
    }
  }

  #down(atMs: number, reason: Error, retryInMs: number | null): void {
    const { log, coverage } = this.#parts;
    log.warn({ reason: reason.message, retryInMs }, 'the helper is gone');
    // What was counted after the last report is gone with the helper, unless it is pinned. Of several
    // failed starts only the first begins the gap.
    const reportedMs = coverage.end();
    this.#blindSinceMs ??= reportedMs ?? atMs;
    if (!this.#suspendDue) this.#downMs = atMs;
    this.#suspendDue = true;
    if (this.#setId === '') this.#suspend();
    this.#listener.blind();
  }

  /** Nobody has watched since the helper went: what was open then may have closed. */
  #suspend(): void {
    if (!this.#suspendDue) return;
    const { table } = this.#parts;
    this.#suspendDue = false;
    table.roll(this.#downMs); // the bucket that the helper died in has a row as well
    table.suspend();
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
      case 'generation':
        this.#generation(event);
        break;
      case 'counts':
        if (!this.#isRepeated) this.#counts(event);
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
    this.#announced += 1;
    if (this.#announced === CROWDED_FLOWS) this.#listener.crowded();
    const process = attributor.announced(event.flow, event.identity);
    const flow = table.announce(event.flow, inventory.note(process), event.atMs);
    if (flow !== null) output?.firstSeen(flow, process, event.peerPort);
  }

  #generation({ generation, fresh }: GenerationEvent): void {
    const { position } = this.#parts.mark;
    const isKnown = position !== null && position.setId === this.#setId;
    this.#isRepeated = isKnown && generation !== 0n && generation <= position.generation;
    if (fresh && !this.#isRepeated) this.#suspend();
  }

  #counts(event: CountsEvent): void {
    const { attributor, inventory, table, output } = this.#parts;
    this.#counted += 1;
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
    this.#isRepeated = false;
    const { lost, missedProbes } = coverage.extend(event.atMs, event.losses);
    if (lost + missedProbes > 0n) {
      const counts = { lost: Number(lost), missedProbes: Number(missedProbes) };
      log.warn({ ...counts, losses: loggable(event) }, 'events were lost');
    }
    this.#progressed(event);
    const told = { all: this.#counted, fresh: this.#announced };
    this.#announced = 0;
    this.#counted = 0;
    this.#listener.reported(event, lost + missedProbes, told);
  }

  #progressed({ generation, atMs }: ReportedEvent): void {
    const { coverage, mark } = this.#parts;
    if (this.#setId === '') return;
    mark.position = { setId: this.#setId, generation, atMs, known: coverage.known };
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
