import type { Spread } from '../statistics.ts';
import type { Row } from './rows.ts';

/** A line of the report: what was aimed at, what came out. */
export interface Verdict {
  readonly goal: string;
  readonly measured: string;
  /** undefined: not measured in this run. */
  readonly met: boolean | undefined;
  /** Workload and condition whose profile explains it. */
  readonly profile?: readonly [workload: string, condition: string];
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

const NOT_MEASURED = { measured: 'not measured', met: undefined } as const;

const threeDigits = (value: number) => String(Number(value.toPrecision(3)));

function atMost(
  goal: string,
  value: Spread | undefined,
  limit: number,
  unit: string,
  profile?: Verdict['profile'],
): Verdict {
  const explained = profile ? { profile } : {};
  if (!value) return { goal, ...NOT_MEASURED, ...explained };
  const { median, min, max } = value;
  const range = min === max ? '' : ` (${threeDigits(min)}\u2013${threeDigits(max)})`;
  const measured = `${threeDigits(median)}${range} ${unit}`;
  return { goal, measured, met: median <= limit, ...explained };
}

/** Poll's CPU as a part of another tool's, both medians of the same rounds. */
function pollRatioTo(figures: Figures, condition: string, title: string): Verdict {
  const goal = `poll each second, 19,900 connections: agent and helper at most 1/10 of ${title}`;
  const [ours, theirs] = [
    hostPct(figures, 'keepalive-19900', 'poll'),
    figures.median('keepalive-19900', condition, 'cpuPct'),
  ];
  const profile = ['keepalive-19900', 'poll'] as const;
  if (ours === undefined || !theirs) return { goal, ...NOT_MEASURED };
  const ratio = ours / theirs;
  const measured = `${threeDigits(ratio)} of it: ${threeDigits(ours)} of ${threeDigits(theirs)} %`;
  return { goal, measured, met: ratio <= 0.1, profile };
}

/** Agent and helper, without the database: what grows on the host with the load. */
function hostPct(figures: Figures, workload: string, condition = 'stream'): number | undefined {
  return figures.median(workload, condition, 'cpuHostPct');
}

/**
 * Latencies are within the noise floor when their ratio to `none` is no greater than what a second
 * `none` came to against the first in the same rounds.
 */
function withinNoise(figures: Figures, workload: string, title: string): Verdict {
  const goal = `${title}, stream: mean and 99th percentile of latency within the noise floor`;
  const parts = [
    { name: 'mean', figure: 'latencyMeanRatio' },
    { name: 'p99', figure: 'latencyP99Ratio' },
  ].map(({ name, figure }) => ({
    name,
    ours: figures.spread(workload, 'stream', figure)?.median,
    floor: figures.spread(workload, 'none', figure),
  }));
  let met = true;
  const texts: string[] = [];
  for (const { name, ours, floor } of parts) {
    if (ours === undefined || !floor) return { goal, ...NOT_MEASURED };
    met &&= ours <= floor.max;
    const noise = `${threeDigits(floor.min)} to ${threeDigits(floor.max)}`;
    texts.push(`${name} ${threeDigits(ours)} of none (noise ${noise})`);
  }
  return { goal, measured: texts.join(', '), met, profile: [workload, 'stream'] };
}

function allNamed(figures: Figures): Verdict {
  const goal = '500 short-lived processes/s, stream: every process named';
  const named = figures.spread('procs-500', 'stream', 'namedPct')?.min;
  return named === undefined
    ? { goal, ...NOT_MEASURED }
    : { goal, measured: `${threeDigits(named)} %, in the worst round`, met: named >= 100 };
}

const RATES = [100, 1000, 5000, 10_000] as const;

/** 100 times the connections into the same few flows may at most double what user space takes. */
function growth(figures: Figures): Verdict {
  const goal =
    'user space grows with distinct flows, not with connections: 100 times the connections/s, at most twice the CPU';
  const costs = RATES.map((rate) => ({ rate, pct: hostPct(figures, `churn-${rate}`) }));
  const [first, last] = [costs[0]?.pct, costs.at(-1)?.pct];
  if (first === undefined || last === undefined) return { goal, ...NOT_MEASURED };
  const curve = costs.flatMap(({ rate, pct }) =>
    pct === undefined ? [] : [`${threeDigits(pct)} % at ${rate}/s`],
  );
  return {
    goal,
    measured: curve.join(', '),
    met: last <= 2 * first,
    profile: ['churn-10000', 'stream'],
  };
}

/** Memory with 19,900 connections against 5,000, of both processes. */
function flatMemory(figures: Figures): Verdict {
  const goal = 'memory of both flat in connections: 19,900 against 5,000, at most 1.1 times';
  const ratios = ['agentRssMb', 'helperRssMb'].map((figure) => {
    const [small, large] = ['keepalive-5000', 'keepalive-19900'].map((workload) =>
      figures.median(workload, 'stream', figure),
    );
    return small && large ? large / small : undefined;
  });
  const [agent, helper] = ratios;
  if (agent === undefined || helper === undefined) return { goal, ...NOT_MEASURED };
  const measured = `agent ${threeDigits(agent)}, helper ${threeDigits(helper)} times`;
  return { goal, measured, met: agent <= 1.1 && helper <= 1.1 };
}

/** Less what the clock takes that measures it, as an empty program's time tells. */
function bpfPerEnd(figures: Figures): Verdict {
  const goal = 'the same: under 1 us of BPF a connection and end';
  const [all, clock] = ['bpfNsPerEnd', 'bpfClockNsPerEnd'].map((figure) =>
    figures.median('churn-10000', 'stream', figure),
  );
  if (all === undefined) return { goal, ...NOT_MEASURED };
  const net = all - (clock ?? 0);
  const measured = `${threeDigits(net)} ns, without the ${threeDigits(clock ?? 0)} ns of the kernel's clock (an empty program's runs)`;
  return { goal, measured, met: net <= 1000, profile: ['churn-10000', 'stream'] };
}

export function verdicts(figures: Figures): readonly Verdict[] {
  const of = (workload: string, figure: string) => figures.spread(workload, 'stream', figure);
  return [
    pollRatioTo(figures, 'ss', '`ss -tnp` each second'),
    pollRatioTo(figures, 'authors', "the authors' ttracerd"),
    atMost(
      'stream, 19,900 keep-alive connections: at most 1 % of a core in all, reconcile included',
      of('keepalive-19900', 'cpuPct'),
      1,
      '%',
      ['keepalive-19900', 'stream'],
    ),
    atMost(
      'stream, 10,000 new connections/s into few flows: user space at most 1 % of a core',
      of('churn-10000', 'cpuHostPct'),
      1,
      '%',
      ['churn-10000', 'stream'],
    ),
    bpfPerEnd(figures),
    atMost(
      '500 short-lived processes/s, stream: at most 10 % of a core in all',
      of('procs-500', 'cpuPct'),
      10,
      '%',
      ['procs-500', 'stream'],
    ),
    allNamed(figures),
    ...[1000, 10_000].map((rate) =>
      withinNoise(figures, `churn-${rate}`, `${rate.toLocaleString('en-US')} new connections/s`),
    ),
    withinNoise(figures, 'fixed-rate-10000', 'fixed rate over 10,000 connections'),
    atMost('idle, stream: under 0.1 % of a core', of('idle', 'cpuPct'), 0.1, '%', [
      'idle',
      'stream',
    ]),
    atMost('agent under 90 MB with 10,000 live flows', of('peers-10000', 'agentRssMb'), 90, 'MB', [
      'peers-10000',
      'stream',
    ]),
    atMost(
      'helper under 8 MB with 19,900 connections, stream',
      of('keepalive-19900', 'helperRssMb'),
      8,
      'MB',
    ),
    flatMemory(figures),
    atMost('attached in under 1 s', of('idle', 'startMs'), 1000, 'ms'),
    growth(figures),
  ];
}
