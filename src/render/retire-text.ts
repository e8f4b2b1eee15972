import { formatEndpoint } from '../query/address.ts';
import { type GraphNode, isFailedEdge } from '../query/graph.ts';
import type { Retirement, RetirementEdge, Verdict } from '../query/retire.ts';
import { coverageFooter, moment } from './coverage-footer.ts';
import { compareEdges, describeNode, edgeFacts } from './edge-text.ts';
import { targetLine } from './impact-text.ts';
import type { Palette } from './palette.ts';
import { counted, formatSpan } from './spans.ts';

const VERDICTS: Readonly<Record<Verdict, string>> = {
  'in use': 'IN USE',
  unused: 'NOT IN USE in this range, and watched throughout',
  unknown: 'NOT KNOWN: no connection in this range, but not watched throughout',
};

/** The verdict, what it rests on, and who uses the TARGET. */
export function renderRetirement(found: Retirement, now: Date, palette: Palette): string {
  const seeds = found.nodes.filter((node) => node.depth === 0);
  const nodes = new Map(found.nodes.map((node) => [node.id, node]));
  const used = found.edges.filter((edge) => !isFailedEdge(edge));
  const connections = used.reduce((sum, edge) => sum + edge.connections, 0n);
  const tone = found.verdict === 'unused' ? palette.bold : palette.alarm;
  const counts =
    found.verdict === 'in use'
      ? `: ${counted(connections, 'connection')} in this range, ${found.open} open now`
      : '';
  const lines = [
    ...seeds.map((node) => targetLine(node, palette)),
    tone(`${VERDICTS[found.verdict]}${counts}`),
    lastUseLine(found, now),
    silenceLine(found),
    ...found.edges.toSorted(compareEdges).map((edge) => edgeLine(edge, nodes, now, palette)),
  ];
  const hosts = [...seeds, ...found.coverage];
  const footer = coverageFooter(found, hosts).map((line) => palette.dim(`# ${line}`));
  const agentless = seeds.filter((node) => node.hostId === null).length;
  const unseen =
    agentless > 0 ? [palette.dim('# no agent there: known only from what watched hosts saw')] : [];
  return `${[...lines, ...footer, ...unseen].join('\n')}\n`;
}

function lastUseLine({ lastUse, since }: Retirement, now: Date): string {
  if (lastUse === null) return 'last use: none known';
  const ago = formatSpan(Math.max(0, now.getTime() - lastUse.getTime()));
  const before = lastUse < since ? ', before this range' : '';
  return `last use: ${ago} ago (${moment(lastUse)})${before}`;
}

function silenceLine({ longestSilence: span }: Retirement): string {
  if (span === null) return 'longest silence: none';
  const length = formatSpan(span.to.getTime() - span.from.getTime());
  return `longest silence: ${length}, ${moment(span.from)} to ${moment(span.to)}`;
}

function edgeLine(
  edge: RetirementEdge,
  nodes: ReadonlyMap<string, GraphNode>,
  now: Date,
  palette: Palette,
): string {
  const outgoing = nodes.get(edge.active)?.depth === 0 && nodes.get(edge.passive)?.depth !== 0;
  const far = nodes.get(outgoing ? edge.passive : edge.active);
  const to = formatEndpoint(edge.passiveAddress, edge.passivePort);
  const from = formatEndpoint(edge.activeAddress, 'many');
  const regular = edge.periodMs === null ? [] : [`REGULAR: every ${formatSpan(edge.periodMs)}`];
  const facts = [...edgeFacts(edge, far, now), ...regular, ...(outgoing ? [] : [`to ${to}`])];
  const tone = isFailedEdge(edge) ? palette.alarm : palette.dim;
  const arrow = outgoing ? `└--> ${to}` : `└<-- ${from}`;
  return `${arrow} ${describeNode(far)}  ${tone(facts.join(', '))}`;
}
