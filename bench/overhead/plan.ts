import { secondsUnder, type Workload } from './workloads.ts';

/** A run ends within this, whatever the machine: what is left over is for rounds that were disturbed. */
export const BUDGET_SECONDS = { full: 1140, quick: 165 } as const;

/** Hosts made and unmade; a tracer started, settled and ended; seconds, rather more than less. */
const STAGE_SECONDS = 1;
const TRACER_SECONDS = 1.7;
const NONE_SECONDS = 0.6;
/** The CMDB that our agents write to: initdb, start, migration, end. */
export const CMDB_SECONDS = 5;

/** What one measurement is to take. */
export function measurementSeconds(workload: Workload, condition: string | undefined): number {
  const around = condition === undefined ? NONE_SECONDS : TRACER_SECONDS;
  const stage = workload.kept ? 0 : STAGE_SECONDS + (workload.startSeconds ?? 0);
  return secondsUnder(workload, condition) + around + stage;
}

export interface Plan {
  /** Once for all rounds: the hosts where they are kept, and the measurement of BPF programs. */
  readonly aroundSeconds: number;
  readonly roundSeconds: number;
}

/** What a workload is to take under the conditions that this machine has the tools for. */
export function planOf(workload: Workload, conditions: readonly string[]): Plan {
  const rounds = [...conditions, ...Array.from({ length: workload.none }, () => undefined)].map(
    (condition) => measurementSeconds(workload, condition),
  );
  const stage = workload.kept ? STAGE_SECONDS + (workload.startSeconds ?? 0) : 0;
  const bpf =
    workload.bpfTime && conditions.includes('stream') ? measurementSeconds(workload, 'stream') : 0;
  return {
    aroundSeconds: stage + bpf,
    roundSeconds: rounds.reduce((sum, seconds) => sum + seconds, 0),
  };
}

export function totalSeconds({ aroundSeconds, roundSeconds }: Plan, rounds: number): number {
  return aroundSeconds + rounds * roundSeconds;
}

/** Rounds that fit when `leftSeconds` are left for this workload and those after it; at least one. */
export function roundsThatFit(
  rounds: number,
  plan: Plan,
  laterSeconds: number,
  leftSeconds: number,
): number {
  const scale = leftSeconds / (totalSeconds(plan, rounds) + laterSeconds);
  return scale >= 1 ? rounds : Math.max(1, Math.floor(rounds * scale));
}
