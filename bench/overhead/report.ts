import { lineChart, type Series } from '../chart.ts';
import type { Spread } from '../statistics.ts';
import { Figures, verdicts } from './goals.ts';
import type { Row } from './rows.ts';

/** bench/results/overhead.json. */
export interface OverheadResults {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly quick: boolean;
  readonly seconds: number;
  readonly rows: readonly Row[];
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
  { figure: 'perSecondRatio', title: 'throughput' },
  { figure: 'latencyMeanRatio', title: 'mean' },
  { figure: 'latencyP50Ratio', title: 'p50' },
  { figure: 'latencyP99Ratio', title: 'p99' },
  { figure: 'recallPct', title: 'recall %' },
  { figure: 'namedPct', title: 'named %' },
  { figure: 'bpfNsPerConnection', title: 'BPF ns/conn.' },
  { figure: 'agentRssMb', title: 'agent MB' },
  { figure: 'helperRssMb', title: 'helper MB' },
];

const INTRODUCTION = `CPU is in percent of one core and counts the whole tracer; for ours the agent, the helper and
PostgreSQL. "all" is the CPU of everything in the measurement, servers and clients included: work that
hides in the kernel shows there. Throughput and latencies are ratios to \`none\` (nobody traces) of the
same round; the row \`none\` itself is a second \`none\` against the first, which is the noise floor.
Each cell is a median, with the least and greatest in brackets where a figure varies. Recall is the
share of the connections there really were that the tracer had in the end; named, with the right
process. Server and tracer share one core, clients and database have the other. One flush of
ours falls into every measurement and, when streaming, one reconcile: more often than by default.`;

export function overheadSection(results: OverheadResults): Section {
  const figures = new Figures(results.rows);
  const workloads = [...new Set(results.rows.map(({ workload }) => workload))];
  const charts = chartsOf(figures, results.rows);
  const markdown = [
    '## What tracing costs',
    '',
    `\`make bench\`${results.quick ? ' with `QUICK=1`' : ''}, ${results.seconds} s. ${machineText(results.machine)}`,
    '',
    INTRODUCTION,
    '',
    '### Goals',
    '',
    ...table(
      ['goal', 'measured', ''],
      verdicts(figures).map(({ goal, measured, met }) => [
        goal,
        measured,
        met === undefined ? '' : met ? 'met' : '**missed**',
      ]),
    ),
    '',
    ...Object.keys(charts).map((file) => `![${file}](benchmarks/${file})\n`),
    ...workloads.flatMap((workload) => [
      `### ${workload}`,
      '',
      ...workloadTable(results.rows.filter((row) => row.workload === workload)),
      '',
    ]),
  ].join('\n');
  return { markdown, charts };
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

/** Like the paper's figures 5 and 6: cost over connections; and how ours grows with their rate. */
function chartsOf(figures: Figures, rows: readonly Row[]): Record<string, string> {
  const cpu = seriesOver(figures, rows, 'keepalive-', 'cpuPct', [
    'ss',
    'iptables-estb',
    'stream',
    'poll',
  ]);
  const churn = seriesOver(figures, rows, 'churn-', 'cpuPct', [
    ...['conntrack', 'tcpdump', 'iptables-new'],
    ...['bpftrace', 'stream', 'poll'],
  ]);
  const charts: Record<string, string> = {};
  if (cpu.length > 0) {
    charts['cpu-by-connections.svg'] = lineChart(cpu, {
      title: 'CPU of the tracer, lasting connections',
      xLabel: 'connections',
      yLabel: '% of a core',
    });
  }
  if (churn.length > 0) {
    charts['cpu-by-rate.svg'] = lineChart(churn, {
      title: 'CPU of the tracer, short connections',
      xLabel: 'new connections/s',
      yLabel: '% of a core',
    });
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
