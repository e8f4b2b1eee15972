import { lineChart, type Series } from '../chart.ts';
import type { Spread } from '../statistics.ts';
import { Figures, type Verdict, verdicts } from './goals.ts';
import { inWords, memoryInWords, type Profiles, profilesSection } from './profiles.ts';
import type { Row } from './rows.ts';

/** bench/results/overhead.json. */
export interface OverheadResults {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly quick: boolean;
  readonly seconds: number;
  /** false: the run was ended before its end; `missing` are the workloads that it has not. */
  readonly complete: boolean;
  readonly missing: readonly string[];
  readonly rows: readonly Row[];
  /** Workloads that were measured again by themselves since, and when. */
  readonly again?: readonly { readonly workloads: readonly string[]; readonly date: string }[];
}

/** A section of the report, and the files it shows. */
export interface Section {
  readonly markdown: string;
  readonly charts: Readonly<Record<string, string>>;
}

const COLUMNS: readonly { readonly figure: string; readonly title: string }[] = [
  { figure: 'cpuPct', title: 'CPU %' },
  { figure: 'cpuHelperPct', title: 'helper %' },
  { figure: 'cpuCmdbPct', title: 'CMDB %' },
  { figure: 'cpuAllPct', title: 'all %' },
  { figure: 'perSecond', title: 'a second' },
  { figure: 'failed', title: 'failed' },
  { figure: 'perSecondRatio', title: 'throughput' },
  { figure: 'latencyMeanRatio', title: 'mean' },
  { figure: 'latencyP50Ratio', title: 'p50' },
  { figure: 'latencyP99Ratio', title: 'p99' },
  { figure: 'recallPct', title: 'recall %' },
  { figure: 'namedPct', title: 'named %' },
  { figure: 'bpfNsPerEnd', title: 'BPF ns/end' },
  { figure: 'bpfClockNsPerEnd', title: 'of it clock' },
  { figure: 'agentRssMb', title: 'agent MB' },
  { figure: 'helperRssMb', title: 'helper MB' },
  { figure: 'startMs', title: 'start ms' },
];

const INTRODUCTION = `CPU is in percent of one core and counts the whole tracer; for ours the agent, the helper and
PostgreSQL, for the others the tool, but not what it makes the kernel do for other processes. "all" is
the CPU of everything in the measurement, servers and clients included: work that hides in the kernel
shows there. "a second" is requests, or connections where they are short. Throughput and latencies are
ratios to \`none\` (nobody traces) of the same round; the row \`none\` itself is a second \`none\` against
the first, which is the noise floor. Each cell is a median, with the least and greatest in brackets
where a figure varies. Recall is the share of the connections that clients opened that the tracer had in
the end; of the other tools it is a lower bound, as they are counted by distinct client ports and one
that is used again counts once; named, with the right process. Server and tracer share one core, clients
and database have the other. One flush of ours falls into every measurement and, when streaming, one
reconcile. By default that is every 10 and 30 s. Over 19,900 connections \`stream\` and \`poll\` are
measured for 20 s, and \`stream\` on the idle host, 15 s after its start; \`stream\` for 6 s where
connections or processes come at a rate; all else for 2 or 3 s, so that the cost in the long run is
rather over- than understated. Time in BPF is by the kernel's clock (\`kernel.bpf_stats_enabled\`), in a
measurement of its own in which both ends are traced;
"of it clock" is what the clock itself takes, by what it finds that an empty program takes.`;

export function overheadSection(results: OverheadResults, profiles?: Profiles): Section {
  const figures = new Figures(results.rows);
  const workloads = [...new Set(results.rows.map(({ workload }) => workload))];
  const charts = chartsOf(figures, results.rows);
  const markdown = [
    '## What tracing costs',
    '',
    `\`make bench\`${results.quick ? ' with `QUICK=1`' : ''}, ${results.seconds} s. ${machineText(results.machine)}`,
    ...(results.complete
      ? []
      : ['', `This run is incomplete: ${results.missing.join(', ')} missing.`]),
    '',
    INTRODUCTION,
    ...(results.again ?? []).map(
      ({ workloads: names, date }) =>
        `\nMeasured again by themselves (\`BENCH_ONLY\`), ${date}: ${names.join(', ')}.`,
    ),
    '',
    ...goalLines(verdicts(figures), profiles),
    '',
    ...Object.keys(charts).map((file) => `![${file}](benchmarks/${file})\n`),
    ...workloads.flatMap((workload) => [
      `### ${workload}`,
      '',
      ...workloadTable(results.rows.filter((row) => row.workload === workload)),
      '',
    ]),
    ...(profiles ? profilesSection(profiles) : []),
  ].join('\n');
  return { markdown: markdown.trimEnd(), charts };
}

/** Each goal; below, what the profiles say about those that were missed. */
function goalLines(all: readonly Verdict[], profiles: Profiles | undefined): string[] {
  const missed = all.filter(({ met }) => met === false);
  const explained = missed.flatMap(({ goal, profile }) => {
    const found = profiles?.profiles.find(
      (one) => one.workload === profile?.[0] && one.condition === profile?.[1],
    );
    const idle = profiles?.profiles.find(({ workload }) => workload === 'idle');
    return found ? [`- ${goal}: ${inWords(found)}${memoryInWords(found, idle)}.`] : [];
  });
  return [
    '### Goals',
    '',
    ...table(
      ['goal', 'measured', ''],
      all.map(({ goal, measured, met }) => [
        goal,
        measured,
        met === undefined ? '' : met ? 'met' : '**missed**',
      ]),
    ),
    ...(explained.length > 0 ? ['', 'Where the missed ones spend it:', '', ...explained] : []),
  ];
}

function machineText(machine: OverheadResults['machine']): string {
  return Object.entries(machine)
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ');
}

function workloadTable(rows: readonly Row[]): string[] {
  const columns = COLUMNS.filter(({ figure }) => rows.some((row) => row[figure] !== undefined));
  return table(
    ['condition', 'rounds', ...columns.map(({ title }) => title)],
    rows.map((row) => [
      row.condition,
      String(row.rounds),
      ...columns.map(({ figure }) => cell(row[figure])),
    ]),
  );
}

function cell(value: Row[string] | undefined): string {
  if (typeof value !== 'object' || !('median' in value)) return '';
  const { median, min, max }: Spread = value;
  const text = (number: number) => String(Number(number.toPrecision(3)));
  return min === max ? text(median) : `${text(median)} (${text(min)}–${text(max)})`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

interface Chart {
  readonly file: string;
  readonly title: string;
  readonly workloads: { readonly prefix: string; readonly label: string };
  readonly figure: string;
  readonly yLabel: string;
  readonly conditions: readonly string[];
}

const BY_CONNECTIONS = { prefix: 'keepalive-', label: 'connections' } as const;
const BY_RATE = { prefix: 'churn-', label: 'new connections/s' } as const;

/** Like the paper's figures 5 and 6, cost over connections; and how ours grows with their rate. */
const CHARTS: readonly Chart[] = [
  {
    file: 'answer-by-connections.svg',
    title: 'Mean time to answer, lasting connections',
    workloads: BY_CONNECTIONS,
    figure: 'latencyMeanUs',
    yLabel: 'us',
    conditions: ['none', 'ss', 'iptables-estb', 'stream', 'poll'],
  },
  {
    file: 'cpu-by-connections.svg',
    title: 'CPU of the tracer, lasting connections',
    workloads: BY_CONNECTIONS,
    figure: 'cpuPct',
    yLabel: '% of a core',
    conditions: ['ss', 'iptables-estb', 'stream', 'poll'],
  },
  {
    file: 'cpu-by-rate.svg',
    title: 'CPU of the tracer, short connections',
    workloads: BY_RATE,
    figure: 'cpuPct',
    yLabel: '% of a core',
    conditions: ['conntrack', 'tcpdump', 'iptables-new', 'bpftrace', 'stream', 'poll'],
  },
  {
    file: 'growth.svg',
    title: 'User space of ours, short connections into few flows',
    workloads: BY_RATE,
    figure: 'cpuHostPct',
    yLabel: '% of a core',
    conditions: ['stream'],
  },
];

function chartsOf(figures: Figures, rows: readonly Row[]): Record<string, string> {
  const charts: Record<string, string> = {};
  for (const { file, title, workloads, figure, yLabel, conditions } of CHARTS) {
    const series = seriesOver(figures, rows, workloads.prefix, figure, conditions);
    if (series.length === 0) continue;
    charts[file] = lineChart(series, { title, xLabel: workloads.label, yLabel });
  }
  return charts;
}

function seriesOver(
  figures: Figures,
  rows: readonly Row[],
  prefix: string,
  figure: string,
  conditions: readonly string[],
): Series[] {
  const workloads = [...new Set(rows.map(({ workload }) => workload))].filter((name) =>
    /^\d+$/.test(name.startsWith(prefix) ? name.slice(prefix.length) : ''),
  );
  return conditions
    .map((name) => ({
      name,
      points: workloads.flatMap((workload) => {
        const y = figures.median(workload, name, figure);
        return y === undefined ? [] : [{ x: Number(workload.slice(prefix.length)), y }];
      }),
    }))
    .filter(({ points }) => points.length > 0);
}
