import type { Spread } from '../statistics.ts';
import type { Row } from './rows.ts';

/** A line of the report: what was aimed at, what came out. */
export interface Verdict {
  readonly goal: string;
  readonly measured: string;
  /** undefined: not measured in this run. */
  readonly met: boolean | undefined;
}

/** Figures of a run by workload and condition. */
export class Figures {
  readonly #rows: readonly Row[];

  constructor(rows: readonly Row[]) {
    this.#rows = rows;
  }

  spread(workload: string, condition: string, figure: string): Spread | undefined {
    const row = this.#rows.find((one) => one.workload === workload && one.condition === condition);
    const value = row?.[figure];
    return typeof value === 'object' && 'median' in value ? value : undefined;
  }

  median(workload: string, condition: string, figure: string): number | undefined {
    return this.spread(workload, condition, figure)?.median;
  }
}

function atMost(goal: string, value: number | undefined, limit: number, unit: string): Verdict {
  return value === undefined
    ? { goal, measured: 'not measured', met: undefined }
    : { goal, measured: `${Number(value.toPrecision(3))} ${unit}`, met: value <= limit };
}

function ratioToSs(figures: Figures): Verdict {
  const goal = 'poll each second, 19,900 connections: at most 1/10 of `ss -tnp` each second';
  const [ours, ss] = ['poll', 'ss'].map((name) =>
    figures.median('keepalive-19900', name, 'cpuPct'),
  );
  return atMost(goal, ours === undefined || !ss ? undefined : ours / ss, 0.1, 'of it');
}

/** Without database: what grows on the host with the load. */
function userSpacePct(figures: Figures, workload: string): number | undefined {
  const all = figures.median(workload, 'stream', 'cpuPct');
  return all === undefined
    ? undefined
    : all - (figures.median(workload, 'stream', 'cpuCmdbPct') ?? 0);
}

/**
 * A ratio is within the noise floor when it is no greater than what "nobody traces" came to against
 * itself in the same run.
 */
function withinNoise(figures: Figures, figure: string, name: string): Verdict {
  const goal = `fixed rate, 10,000 connections, stream: ${name} latency within the noise floor`;
  const [ours, floor] = [
    figures.spread('fixed-rate-10000', 'stream', figure),
    figures.spread('fixed-rate-10000', 'none', figure),
  ];
  if (!ours || !floor) return { goal, measured: 'not measured', met: undefined };
  const measured = `${ours.median} of none; none against none ${floor.min} to ${floor.max}`;
  return { goal, measured, met: ours.median <= floor.max };
}

function allNamed(figures: Figures): Verdict {
  const goal = '500 short-lived processes/s, stream: every process named';
  const named = figures.spread('procs-500', 'stream', 'namedPct')?.min;
  return named === undefined
    ? { goal, measured: 'not measured', met: undefined }
    : { goal, measured: `${named} %`, met: named === 100 };
}

export function verdicts(figures: Figures): readonly Verdict[] {
  const median = (workload: string, figure: string, condition = 'stream') =>
    figures.median(workload, condition, figure);
  return [
    ratioToSs(figures),
    atMost(
      'stream, 19,900 keep-alive connections: at most 1 % of a core in all',
      median('keepalive-19900', 'cpuPct'),
      1,
      '%',
    ),
    atMost(
      'stream, 10,000 new connections/s: user space at most 1 % of a core',
      userSpacePct(figures, 'churn-10000'),
      1,
      '%',
    ),
    atMost(
      'the same: under 1 us of BPF a connection, beginning and end',
      median('churn-10000', 'bpfNsPerConnection'),
      1000,
      'ns',
    ),
    atMost(
      '500 short-lived processes/s, stream: at most 10 % of a core in all',
      median('procs-500', 'cpuPct'),
      10,
      '%',
    ),
    allNamed(figures),
    withinNoise(figures, 'latencyMeanRatio', 'mean'),
    withinNoise(figures, 'latencyP99Ratio', '99th percentile of'),
    atMost('idle, stream: under 0.1 % of a core', median('idle', 'cpuPct'), 0.1, '%'),
    atMost(
      'agent under 90 MB with 10,000 live flows and more (50,000 here)',
      median('peers-50000', 'agentRssMb'),
      90,
      'MB',
    ),
    atMost(
      'helper under 8 MB with 19,900 connections, stream',
      median('keepalive-19900', 'helperRssMb'),
      8,
      'MB',
    ),
    atMost('attached in under 1 s', median('keepalive-19900', 'startMs'), 1000, 'ms'),
  ];
}
