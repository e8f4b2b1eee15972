import { type Spread, spread } from '../statistics.ts';
import type { Measurement } from './measure.ts';

/** One workload under one condition over all rounds. Ratios are to `none` of the same round. */
export interface Row {
  readonly workload: string;
  readonly condition: string;
  readonly rounds: number;
  readonly [figure: string]: Spread | string | number | readonly string[];
}

/** A measurement, with the one of `none` of its round. */
export interface Round {
  readonly measured: Measurement;
  readonly none: Measurement | undefined;
}

type Figure = (round: Round) => number | undefined;

const FIGURES: Readonly<Record<string, Figure>> = {
  cpuPct: ({ measured }) => measured.cpuPct,
  cpuHelperPct: ({ measured }) => measured.cpuHelperPct,
  cpuCmdbPct: ({ measured }) => measured.cpuCmdbPct,
  cpuHostPct: ({ measured: { cpuPct, cpuCmdbPct } }) =>
    cpuCmdbPct === undefined ? undefined : cpuPct - cpuCmdbPct,
  cpuAllPct: ({ measured }) => measured.cpuAllPct,
  foreignCpuPct: ({ measured }) => measured.foreignCpuPct,
  failed: ({ measured }) => measured.load.failed || undefined,
  perSecond: ({ measured }) => measured.load.perSecond,
  latencyMeanUs: ({ measured }) => measured.load.latencyMeanUs,
  latencyP50Us: ({ measured }) => measured.load.latencyP50Us,
  latencyP99Us: ({ measured }) => measured.load.latencyP99Us,
  perSecondRatio: (round) => ratio(round, 'perSecond'),
  latencyMeanRatio: (round) => ratio(round, 'latencyMeanUs'),
  latencyP50Ratio: (round) => ratio(round, 'latencyP50Us'),
  latencyP99Ratio: (round) => ratio(round, 'latencyP99Us'),
  recallPct: ({ measured: { seen, truth } }) => share(seen?.connections, truth),
  namedPct: ({ measured: { seen, truth } }) => share(seen?.named, truth),
  bpfNsPerEnd: ({ measured }) => perEnd(measured, measured.bpf?.ns),
  bpfClockNsPerEnd: ({ measured }) => perEnd(measured, measured.bpf?.clockNs),
  startMs: ({ measured }) => measured.startMs,
  agentRssMb: ({ measured }) => measured.agent?.rssMb,
  agentPssMb: ({ measured }) => measured.agent?.pssMb,
  helperRssMb: ({ measured }) => measured.helper?.rssMb,
  helperPssMb: ({ measured }) => measured.helper?.pssMb,
};

/** Of connections of which both ends are traced. */
function perEnd({ load }: Measurement, ns: number | undefined): number | undefined {
  return ns === undefined || load.connections === 0 ? undefined : ns / (2 * load.connections);
}

function ratio({ measured, none }: Round, key: keyof Measurement['load']): number | undefined {
  const [value, base] = [measured.load[key], none?.load[key]];
  return value === undefined || base === undefined || base === 0 ? undefined : value / base;
}

function share(part: number | undefined, whole: number): number | undefined {
  return part === undefined || whole === 0 ? undefined : (part / whole) * 100;
}

export function rowOf(workload: string, condition: string, rounds: readonly Round[]): Row {
  const figures: Record<string, Spread> = {};
  for (const [name, figure] of Object.entries(FIGURES)) {
    const values = rounds.map(figure).filter((value) => value !== undefined);
    const spreadOfValues = spread(values);
    if (spreadOfValues) figures[name] = spreadOfValues;
  }
  return { workload, condition, rounds: rounds.length, ...figures };
}
