import { formatEndpoint } from '../query/address.ts';
import { type GraphEdge, type GraphNode, isFailedEdge } from '../query/graph.ts';
import { groupBy } from '../query/group-by.ts';
import type { Impact, ImpactNode } from '../query/impact.ts';
import { coverageFooter } from './coverage-footer.ts';
import { compareEdges, describeNode, edgeFacts } from './edge-text.ts';
import type { Palette } from './palette.ts';
import { printable } from './printable.ts';
import { counted } from './spans.ts';

export interface ImpactTextOptions {
  readonly now: Date;
  readonly palette: Palette;
  /** Levels that were followed. */
  readonly depth: number;
}

/**
 * What depends on a TARGET, level by level. Below a number of hops stands a line for each edge that
 * leads one hop nearer; edges that don't (back, or across) are in the other formats only.
 */
export function renderImpact(impact: Impact, { now, palette, depth }: ImpactTextOptions): string {
  const nodes = new Map(impact.nodes.map((node) => [node.id, node]));
  const levels = groupBy(impact.nodes, (node) => node.depth);
  const edges = groupBy(impact.edges.toSorted(compareEdges), (edge) => edge.active);
  const lines = [...levels].flatMap(([level, members]) =>
    level === 0
      ? members.map((node) => targetLine(node, palette))
      : [
          palette.bold(`${counted(level, 'hop')}: ${counted(members.length, 'node')}`),
          ...members.flatMap((node) => hopLines(node, nodes, edges, now, palette)),
        ],
  );
  const footer = [summary(impact, depth), ...coverageFooter(impact, hostsOf(impact))];
  return `${[...lines, ...footer.map((line) => palette.dim(`# ${line}`))].join('\n')}\n`;
}

/** A node that TARGET names: where it listens, and on which host. */
export function targetLine(node: GraphNode, palette: Palette): string {
  const address = node.addresses[0] ?? '*';
  const [port, ...others] = node.ports;
  const endpoint = formatEndpoint(address, others.length > 0 ? '*' : (port ?? 'many'));
  const where = node.host === null ? 'no agent there' : `on ${printable(node.host)}`;
  const unit = node.unit === null ? [] : [printable(node.unit)];
  return `${palette.bold(`${endpoint} ${describeNode(node)}`)}  ${palette.dim([where, ...unit].join(', '))}`;
}

function hopLines(
  node: ImpactNode,
  nodes: ReadonlyMap<string, ImpactNode>,
  edges: ReadonlyMap<string, GraphEdge[]>,
  now: Date,
  palette: Palette,
): string[] {
  return (edges.get(node.id) ?? [])
    .filter((edge) => nodes.get(edge.passive)?.depth === node.depth - 1)
    .map((edge) => {
      const to = formatEndpoint(edge.passiveAddress, edge.passivePort);
      const facts = [
        ...edgeFacts(edge, node, now),
        `to ${to} ${describeNode(nodes.get(edge.passive))}`,
        ...(node.uncertain ? [UNCERTAIN] : []),
      ].join(', ');
      const from = formatEndpoint(edge.activeAddress, 'many');
      const tone = isFailedEdge(edge) ? palette.alarm : palette.dim;
      return `└<-- ${from} ${describeNode(node)}  ${tone(facts)}`;
    });
}

/** Said of what is reached only by way of a node that may be several processes. */
export const UNCERTAIN = 'UNCERTAIN: by way of an unknown process';

function summary(impact: Impact, depth: number): string {
  const dependents = impact.nodes.filter((node) => node.depth > 0);
  if (dependents.length === 0) return 'nothing is known to depend on it in this range';
  const hosts = new Set(dependents.flatMap(({ hostId }) => (hostId === null ? [] : [hostId])));
  const deepest = Math.max(...dependents.map((node) => node.depth));
  const uncertain = dependents.filter((node) => node.uncertain).length;
  const parts = [
    `${counted(dependents.length, 'node')} on ${counted(hosts.size, 'host')} with an agent`,
    ...(uncertain > 0 ? [`${uncertain} of them uncertain`] : []),
    ...(deepest >= depth ? [`followed ${counted(depth, 'hop')}, there may be more`] : []),
  ];
  return parts.join('; ');
}

function hostsOf(impact: Impact): Pick<GraphNode, 'hostId' | 'host'>[] {
  return [...impact.nodes, ...impact.coverage];
}
