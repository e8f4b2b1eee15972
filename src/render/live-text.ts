import { formatEndpoint } from '../query/address.ts';
import { type NamedHost, unwatchedTimes } from '../query/coverage.ts';
import { type CoverageInterval, isFailedEdge } from '../query/graph.ts';
import type { LiveGraph } from '../query/live.ts';
import type { TimeRange } from '../query/range.ts';
import { coverageFooter, moment } from './coverage-footer.ts';
import { compareEdges, describeNode, edgeFacts } from './edge-text.ts';
import { graphJsonLines, JSON_SCHEMA, toJsonLines } from './json.ts';
import type { Palette } from './palette.ts';

export type LiveFormat = 'tree' | 'jsonl';

/** What a live view rests on, told when it begins. */
export function renderLiveStart(
  range: TimeRange,
  coverage: readonly CoverageInterval[],
  format: LiveFormat,
  palette: Palette,
): string {
  const head = `watching from ${moment(range.until)}; in the minutes before:`;
  return renderCoverage(head, range, coverage, coverage, format, palette);
}

/**
 * What a live view rested on, told when it ends.
 * @param hosts that were watched when it began
 */
export function renderLiveEnd(
  range: TimeRange,
  coverage: readonly CoverageInterval[],
  hosts: readonly NamedHost[],
  format: LiveFormat,
  palette: Palette,
): string {
  const head = `until ${moment(range.until)}:`;
  return renderCoverage(head, range, coverage, [...hosts, ...coverage], format, palette);
}

function renderCoverage(
  head: string,
  range: TimeRange,
  coverage: readonly CoverageInterval[],
  hosts: readonly NamedHost[],
  format: LiveFormat,
  palette: Palette,
): string {
  if (format === 'jsonl') {
    const unwatched = unwatchedTimes(hosts, coverage, range);
    return toJsonLines([{ schema: JSON_SCHEMA, event: 'coverage', ...range, coverage, unwatched }]);
  }
  const lines = coverageFooter({ ...range, coverage }, hosts);
  return [head, ...lines].map((line) => `${palette.dim(`# ${line}`)}\n`).join('');
}

/** One line for each edge that is new or was used. */
export function renderLive(
  graph: LiveGraph,
  format: LiveFormat,
  now: Date,
  palette: Palette,
): string {
  if (format === 'jsonl') return graphJsonLines(graph);
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const lines = graph.edges.toSorted(compareEdges).map((edge) => {
    const [active, passive] = [nodes.get(edge.active), nodes.get(edge.passive)];
    const from = `${formatEndpoint(edge.activeAddress, 'many')} ${describeNode(active)}`;
    const to = `${formatEndpoint(edge.passiveAddress, edge.passivePort)} ${describeNode(passive)}`;
    const facts = edgeFacts(edge, passive, now).join(', ');
    const tone = isFailedEdge(edge) ? palette.alarm : palette.dim;
    const sign = edge.event === 'new' ? palette.bold('+') : ' ';
    return `${palette.dim(moment(now))} ${sign} ${from} --> ${to}  ${tone(facts)}\n`;
  });
  return lines.join('');
}
