// Makes docs/coverage.md from the results of the truth suite (build/truth/results.jsonl), in which the
// latest of a (case, rung, kernel) counts: node scripts/coverage-doc.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const RUNGS = ['fentry', 'kprobe', 'tracepoint', 'poll'];

const latest = new Map();
for (const line of readFileSync(join(root, 'build/truth/results.jsonl'), 'utf8').split('\n')) {
  if (line === '') continue;
  const result = JSON.parse(line);
  result.kernel = /^\d+\.\d+/.exec(result.kernel)?.[0] ?? result.kernel;
  latest.set(`${result.case} ${result.rung} ${result.kernel}`, result);
}
const results = [...latest.values()];
const kernels = [...new Set(results.map(({ kernel }) => kernel))].sort((a, b) => {
  const [x, y] = [a.split('.').map(Number), b.split('.').map(Number)];
  return x[0] - y[0] || x[1] - y[1];
});
const isLoad = ({ rate }) => rate !== undefined;
const isLoss = ({ case: name }) => /^(?:tracepoint|poll): /.test(name);

/** What a verdict comes to, in a word and numbers. */
function cell({ verdict, lost }) {
  const { wrongTotals, mismatches, wrongProcess, unattributed, missing, invented } = verdict;
  if (mismatches.length === 0 && wrongTotals.length === 0) return 'exact';
  const parts = [];
  if (missing > 0) parts.push(`${missing} missing`);
  if (invented > 0) parts.push(`${invented} invented`);
  if (wrongProcess > 0) parts.push(`${wrongProcess} wrong process`);
  if (unattributed > 0) parts.push(`${unattributed} unnamed`);
  if (missing > 0 && lost > 0) parts.push(`${lost} known lost`);
  return `${parts.join(', ')} of ${verdict.happened}`;
}

/** One cell for several kernels where they agree. */
function merged(name, rung) {
  const cells = kernels.flatMap((kernel) => {
    const result = latest.get(`${name} ${rung} ${kernel}`);
    return result === undefined ? [] : [[kernel, cell(result)]];
  });
  if (cells.length === 0) return '';
  const [[, first]] = cells;
  if (cells.every(([, text]) => text === first)) return first;
  return cells.map(([kernel, text]) => `${kernel}: ${text}`).join('; ');
}

function seenOn(rung) {
  return kernels.filter((kernel) =>
    results.some((one) => one.rung === rung && one.kernel === kernel),
  );
}

function table(head, rows) {
  const lines = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`);
  return `${lines.join('\n')}\n`;
}

const names = [...new Set(results.filter((r) => !isLoad(r) && !isLoss(r)).map((r) => r.case))];
const caseRows = names.map((name) => [name, ...RUNGS.map((rung) => merged(name, rung))]);
const kernelRows = RUNGS.map((rung) => [rung, seenOn(rung).join(', ')]);
const loadRows = results
  .filter(isLoad)
  .map((one) => [
    one.kernel,
    one.rung,
    one.case,
    `${one.rate}/s`,
    `${one.verdict.edges.found} of ${one.verdict.edges.of}`,
    `${one.verdict.precision.found} of ${one.verdict.precision.of}`,
    cell(one),
  ]);
const lossRows = results.filter(isLoss).map((one) => [one.case, cell(one), String(one.lost)]);

writeFileSync(
  join(root, 'docs/coverage.md'),
  `# What is seen

Made by \`scripts/coverage-doc.mjs\` from what \`make test-truth\` and \`make test-truth-kernels\` found;
nothing here is typed by hand. Each case is real processes that log their own connections; a judge holds
what \`ttracerd\` stored against the log.

- **exact**: every connection and failure of both ends, with the right process, and nothing else.
- **missing**, **invented**: ends of connections that were not stored, or never were. A failure of another
  kind is one of each.
- **wrong process**, **unnamed**: ends stored with another process than theirs, or with none.

## Kernels

${table(['rung', 'kernels'], kernelRows)}
The native kernel has neither kprobes nor fentry; the others are Debian's, emulated by QEMU. Where kernels
differ, a cell says which.

## Cases

${table(['case', ...RUNGS], caseRows)}
What polling can't tell: processes that are gone before a snapshot (unnamed); ports that a reset or a
blocking connect that failed wiped out before the destroy notice (missing, and counted as lost); accepted
MPTCP subflows, which the kernel holds and gives no notices of; namespaces that live less than an interval.
The tracepoint rung does not see who accepts, only who holds or closes the socket afterwards.

## Load

${table(['kernel', 'rung', 'load', 'rate', 'edges found', 'edges right', 'counts'], loadRows)}
Emulated guests bear it in a time of their own, in which a nanosecond is an instruction of their
processors: a second of theirs takes this machine several.

## Burst and loss

${table(['case', 'counts', 'known lost'], lossRows)}`,
);
