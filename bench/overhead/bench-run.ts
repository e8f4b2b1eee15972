import { besideEmptyProgram, withBpfStatistics } from './bpf-time.ts';
import type { Bench, Measurement } from './measure.ts';
import { measurementSeconds, planOf, roundsThatFit, totalSeconds } from './plan.ts';
import { type Round, type Row, rowOf } from './rows.ts';
import { type Changes, measureAnew, Stage } from './stage.ts';
import type { Condition } from './tracer.ts';
import type { Workload } from './workloads.ts';

/** A measurement during which others took more of a core than this is repeated, so often at most. */
const FOREIGN_LIMIT_PCT = 10;
const REPEATS = 2;

/** Measures a workload under a condition; undefined: nobody traces. */
type Measure = (condition: Condition | undefined, changes?: Changes) => Promise<Measurement>;

export interface Task {
  readonly workload: Workload;
  readonly conditions: readonly Condition[];
}

export function secondsOf({ workload, conditions }: Task): number {
  const plan = planOf(
    workload,
    conditions.map(({ name }) => name),
  );
  return totalSeconds(plan, workload.rounds);
}

/** One run of the bench: keeps it within its time. */
export class BenchRun {
  readonly #bench: Bench;
  readonly #startedMs = performance.now();
  readonly #budgetSeconds: number;
  readonly #say: (line: string) => void;
  /** What is still to come after the workload that runs. */
  #laterSeconds = 0;

  constructor(bench: Bench, budgetSeconds: number, say: (line: string) => void) {
    this.#bench = bench;
    this.#budgetSeconds = budgetSeconds;
    this.#say = say;
  }

  get seconds(): number {
    return Math.round((performance.now() - this.#startedMs) / 1000);
  }

  /** Rows of a workload; none when no time is left. */
  async measure(task: Task, later: readonly Task[]): Promise<Row[]> {
    const { workload, conditions } = task;
    this.#laterSeconds = later.reduce((sum, one) => sum + secondsOf(one), 0);
    const plan = planOf(
      workload,
      conditions.map(({ name }) => name),
    );
    const left = this.#budgetSeconds - this.seconds;
    const rounds = roundsThatFit(workload.rounds, plan, this.#laterSeconds, left);
    if (totalSeconds(plan, rounds) > left) {
      this.#say(`${workload.name}: left out, no time is left`);
      return [];
    }
    if (rounds < workload.rounds) this.#say(`${workload.name}: ${rounds} rounds, time is short`);
    const stage = workload.kept ? await Stage.open(workload) : undefined;
    const measure: Measure = (condition, changes) =>
      stage
        ? stage.measure(this.#bench, condition, changes)
        : measureAnew(this.#bench, workload, condition, changes);
    try {
      return await this.#runRounds(task, rounds, measure);
    } finally {
      await stage?.close();
    }
  }

  /** All conditions in turn, round by round, so that a drift of the machine hits all alike. */
  async #runRounds(
    { workload, conditions }: Task,
    wanted: number,
    measure: Measure,
  ): Promise<Row[]> {
    const rounds = new Map<string, Round[]>();
    for (let done = 0; done < wanted; done++) {
      for (const [name, one] of await this.#runRound(
        workload,
        conditions,
        measure,
        wanted - done,
      )) {
        rounds.set(name, [...(rounds.get(name) ?? []), one]);
      }
    }
    const rows = [...rounds].map(([name, all]) => rowOf(workload.name, name, all));
    const stream = conditions.find(({ name }) => name === 'stream');
    if (!workload.bpfTime || !stream) return rows;
    const timed = await timeBpf(workload, stream, measure);
    return rows.map((row) => (row.condition === 'stream' ? withBpfTime(row, timed) : row));
  }

  /** One round: none, every condition, and none again. */
  async #runRound(
    workload: Workload,
    conditions: readonly Condition[],
    measure: Measure,
    roundsLeft: number,
  ): Promise<Map<string, Round>> {
    const round = new Map<string, Round>();
    const { roundSeconds, aroundSeconds } = planOf(
      workload,
      conditions.map(({ name }) => name),
    );
    const needed = roundsLeft * roundSeconds + aroundSeconds + this.#laterSeconds;
    const quietly = (condition: Condition | undefined) =>
      this.#measureQuietly(workload, condition, measure, needed);
    const none = workload.none > 0 ? await quietly(undefined) : undefined;
    for (const condition of conditions) {
      round.set(condition.name, { measured: await quietly(condition), none });
    }
    if (none) {
      const measured = workload.none > 1 ? await quietly(undefined) : none;
      round.set('none', { measured, none: workload.none > 1 ? none : undefined });
    }
    return round;
  }

  /** Repeats a measurement that others disturbed, while there is time besides what is needed. */
  async #measureQuietly(
    workload: Workload,
    condition: Condition | undefined,
    measure: Measure,
    neededSeconds: number,
  ): Promise<Measurement> {
    const again = measurementSeconds(workload, condition?.name);
    for (let repeats = 0; ; repeats++) {
      const startedMs = performance.now();
      const measured = await measure(condition);
      if (process.env['BENCH_VERBOSE']) {
        const tookSeconds = (performance.now() - startedMs) / 1000;
        const { cpuPct, foreignCpuPct } = measured;
        const figures = { tookSeconds, cpuPct, foreignCpuPct, ...measured.load };
        this.#say(`  ${condition?.name ?? 'none'} ${JSON.stringify(figures)}`);
      }
      const spare = this.#budgetSeconds - this.seconds - neededSeconds - again;
      if (measured.foreignCpuPct <= FOREIGN_LIMIT_PCT || repeats === REPEATS || spare < 0) {
        return measured;
      }
    }
  }
}

/** Both ends of the connections are traced, as where client and server share a host. */
async function timeBpf(workload: Workload, stream: Condition, measure: Measure): Promise<Row> {
  const { used, clockNsPerRun } = await withBpfStatistics(() =>
    besideEmptyProgram(() => measure(stream, { seconds: workload.seconds, allNetns: true })),
  );
  const { bpf } = used;
  const clock =
    bpf && clockNsPerRun !== undefined ? { clockNs: bpf.runs * clockNsPerRun } : undefined;
  const measured = bpf ? { ...used, bpf: { ...bpf, ...clock } } : used;
  return rowOf(workload.name, 'stream', [{ measured, none: undefined }]);
}

function withBpfTime(row: Row, { bpfNsPerEnd, bpfClockNsPerEnd }: Row): Row {
  return {
    ...row,
    ...(bpfNsPerEnd ? { bpfNsPerEnd } : {}),
    ...(bpfClockNsPerEnd ? { bpfClockNsPerEnd } : {}),
  };
}
