import type { Spread } from '../statistics.ts';

export interface CmdbResults {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly quick: boolean;
  readonly rows: readonly Row[];
}

interface Row {
  readonly workload: string;
  readonly condition: string;
  readonly rounds: number;
  readonly [figure: string]: Spread | string | number | undefined;
}

/** The CMDB's part of docs/benchmarks.md: a line for every row, with all its figures. */
export function cmdbSection({ machine, quick, rows }: CmdbResults): {
  markdown: string;
  charts: Record<string, string>;
} {
  const facts = Object.entries(machine).map(([name, value]) => `${name} ${value}`);
  const lines = rows.map((row) => {
    const { workload, condition, rounds, ...figures } = row;
    const shown = Object.entries(figures).map(([name, value]) => `${name} ${worded(value)}`);
    return `| ${workload} | ${condition} | ${rounds} | ${shown.join('; ')} |`;
  });
  const markdown = [
    '## The CMDB',
    '',
    'A synthetic fleet whose every dependency follows from arithmetic: 200 flows a host over 7 days of',
    'five-minute buckets, each flow in use in about a tenth of them. Answers are compared with the truth:',
    'of deps and impact every edge with its counts and bytes, of diff every edge and how it changed; a',
    'wrong one ends the bench. Caches are warm; figures are median (least to greatest). `cpuRatio`',
    "is the CPU of the original tool's statements by ours, in the same round.",
    ...(quick ? ['', 'This was a quick run, at a tenth of the size.'] : []),
    '',
    `Measured on: ${facts.join(', ')}.`,
    '',
    '| what | of | rounds | figures |',
    '|---|---|---|---|',
    ...lines,
    ...growthLines(rows),
  ].join('\n');
  return { markdown, charts: {} };
}

/** How much longer answers take in the larger fleet than in the smaller one. */
function growthLines(rows: readonly Row[]): string[] {
  const medians = rows.flatMap(({ workload, condition, answerMs }) =>
    typeof answerMs === 'object' ? [{ workload, condition, ms: answerMs.median }] : [],
  );
  const growths = [...new Set(medians.map(({ workload }) => workload))].flatMap((workload) => {
    const own = medians.filter((median) => median.workload === workload);
    const [small, large] = [own[0], own.at(-1)];
    if (small === undefined || large === undefined || small === large) return [];
    const times = (large.ms / small.ms).toPrecision(3);
    return [`${workload} ${times} times from ${small.condition} to ${large.condition}`];
  });
  return growths.length === 0 ? [] : ['', `Growth of the median: ${growths.join('; ')}.`];
}

function worded(value: Spread | string | number | undefined): string {
  if (typeof value !== 'object') return String(value ?? '-');
  return `${value.median} (${value.min} to ${value.max})`;
}
