import { secondsUnder, type Workload } from './workloads.ts';

/** A run ends within this, whatever the machine: what is left over is for rounds that were disturbed. */
export const BUDGET_SECONDS = { full: 1160, quick: 170 } as const;

/** Two hosts with their server made and unmade. */
const STAGE_SECONDS = 0.3;
/** A tracer started, settled and ended; what it printed read. */
const TRACER_SECONDS = { ours: 1.2, tool: 2 } as const;
const NONE_SECONDS = 0.6;
const OURS: readonly (string | undefined)[] = ['stream', 'poll'];
/** The CMDB that our agents write to: initdb, start, migration, end. */
export const CMDB_SECONDS = 5;

/** What one measurement is to take. */
export function measurementSeconds(workload: Workload, condition: string | undefined): number {
  const tracer = OURS.includes(condition) ? TRACER_SECONDS.ours : TRACER_SECONDS.tool;
  const settle = workload.settleSeconds ?? 0;
  const around = condition === undefined ? NONE_SECONDS : tracer + settle;
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
    workload.bpfTime && conditions.includes('stream')
      ? measurementSeconds({ ...workload, windows: {} }, 'stream')
      : 0;
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
