import { formatEndpoint } from '../query/address.ts';
import { unwatchedTimes } from '../query/coverage.ts';
import type { Change, Diff, DiffEdge, DiffSide } from '../query/diff.ts';
import type { GraphNode } from '../query/graph.ts';
import type { TimeRange } from '../query/range.ts';
import { coverageFooter, moment } from './coverage-footer.ts';
import { type CsvValue, graphRows, toCsv } from './csv.ts';
import { compareEdges, countFacts, describeNode } from './edge-text.ts';
import { renderGraph } from './graph-format.ts';
import { JSON_SCHEMA, toJson } from './json.ts';
import type { Palette } from './palette.ts';
import { printable } from './printable.ts';
import { formatSpan } from './spans.ts';

const SIGNS: Readonly<Record<Change, string>> = { new: '+', gone: '-', failed: '!' };

/** The changes, one a line: failing ones first, then new, then gone. */
export function renderDiff(diff: Diff, now: Date, palette: Palette): string {
  const nodes = new Map(diff.nodes.map((node) => [node.id, node]));
  const lines = (['failed', 'new', 'gone'] as const).flatMap((change) =>
    diff.edges
      .filter((edge) => edge.change === change)
      .toSorted(compareEdges)
      .map((edge) => changeLine(edge, nodes, now, palette)),
  );
  const body = lines.length > 0 ? lines : ['no dependency appeared, went away or began to fail'];
  const hosts = [...diff.nodes, ...diff.before.coverage, ...diff.after.coverage];
  const footer = (['before', 'after'] as const).flatMap((side) => [
    `${side}: ${span(diff[side])}`,
    ...coverageFooter(diff[side], hosts).map((line) => `  ${line}`),
  ]);
  return `${[...body, ...footer.map((line) => palette.dim(`# ${line}`))].join('\n')}\n`;
}

function changeLine(
  edge: DiffEdge,
  nodes: ReadonlyMap<string, GraphNode>,
  now: Date,
  palette: Palette,
): string {
  const [active, passive] = [nodes.get(edge.active), nodes.get(edge.passive)];
  const from = `${formatEndpoint(edge.activeAddress, 'many')} ${describeNode(active)}`;
  const to = `${formatEndpoint(edge.passiveAddress, edge.passivePort)} ${describeNode(passive)}`;
  const place = [active, passive].map((node) => (node?.host ? printable(node.host) : 'no agent'));
  const ago = (date: Date): string =>
    `${formatSpan(Math.max(0, now.getTime() - date.getTime()))} ago`;
  const when =
    edge.change === 'gone' ? `last ${ago(edge.lastSeen)}` : `first ${ago(edge.firstSeen)}`;
  const facts = [
    place.join(' to '),
    ...countFacts(edge),
    when,
    ...(edge.reattributed ? ['UNCERTAIN: an unknown process had this connection'] : []),
    ...(edge.watched ? [] : [UNWATCHED[edge.change]]),
  ].join(', ');
  const tone = edge.change === 'failed' ? palette.alarm : palette.dim;
  return `${SIGNS[edge.change]} ${from} --> ${to}  ${tone(facts)}`;
}

const UNWATCHED: Readonly<Record<Change, string>> = {
  new: 'NOT WATCHED before: may be older',
  failed: 'NOT WATCHED before: may have failed then too',
  gone: 'NOT WATCHED after: may be there still',
};

function span({ since, until }: TimeRange): string {
  return `${moment(since)} to ${moment(until)}`;
}

/** Every other form of a diff: the edges have a `change`. */
export function diffFormat(
  diff: Diff,
  format: 'json' | 'jsonl' | 'dot' | 'mermaid' | 'csv',
): string {
  const { since, until, coverage } = diff.after;
  const graph = { ...diff, since, until, coverage };
  switch (format) {
    case 'json':
      return toJson({
        schema: JSON_SCHEMA,
        ...diff,
        before: withHoles(diff.before, diff.nodes),
        after: withHoles(diff.after, diff.nodes),
      });
    case 'csv':
      return diffCsv(diff);
    default:
      return renderGraph(graph, format);
  }
}

function withHoles(side: DiffSide, nodes: readonly GraphNode[]) {
  const unwatched = unwatchedTimes([...nodes, ...side.coverage], side.coverage, side);
  return { ...side, unwatched };
}

function diffCsv(diff: Diff): string {
  const { header, rows } = graphRows(diff);
  const changes = diff.edges.map((edge): CsvValue[] => [
    edge.change,
    edge.watched,
    edge.reattributed,
  ]);
  return toCsv(
    ['change', 'watched', 'reattributed', ...header],
    rows.map((row, index) => [...(changes[index] ?? []), ...row]),
  );
}
