import { type GraphEdge, type GraphNode, isFailedEdge } from '../query/graph.ts';
import { printable, quoted } from './printable.ts';
import { counted, formatSpan } from './spans.ts';

/** What is said of an edge and of the node it leads to: where, how often, when, seen by whom. */
export function edgeFacts(edge: GraphEdge, node: GraphNode | undefined, now: Date): string[] {
  const where = node?.host ? `on ${printable(node.host)}` : 'no agent there';
  const age = formatSpan(Math.max(0, now.getTime() - edge.lastSeen.getTime()));
  const seen = edge.seenBy === 'both' ? [] : [`seen by the ${edge.seenBy} side only`];
  return [where, ...countFacts(edge), `last ${age} ago`, ...seen];
}

/** How often an edge was used. */
export function countFacts(edge: GraphEdge): string[] {
  if (isFailedEdge(edge)) return [`FAILED ${counted(edge.failed, 'time')}, never established`];
  if (edge.ambiguous && edge.connections === 0n) return ['one of several possible pairs'];
  return [
    counted(edge.connections, 'connection'),
    ...(edge.open > 0n ? [`${edge.open} open`] : []),
    ...(edge.failed > 0n ? [`${edge.failed} failed`] : []),
    ...(edge.ambiguous ? ['one of several possible pairs'] : []),
  ];
}

/** `('nginx', pgid=4656)`, or `('?')` for a process that is not known. */
export function describeNode(node: GraphNode | undefined): string {
  if (!node?.process) return "('?')";
  const pgid = node.pgid === null ? '' : `, pgid=${node.pgid}`;
  return `(${quoted(node.process)}${pgid})`;
}

/** Established before failed, busiest first, then by address. */
export function compareEdges(a: GraphEdge, b: GraphEdge): number {
  if (a.connections !== b.connections) return a.connections > b.connections ? -1 : 1;
  const [x, y] = [sortKey(a), sortKey(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}

function sortKey(edge: GraphEdge): string {
  const { passiveAddress, passivePort, activeAddress, active, passive } = edge;
  return [
    passiveAddress,
    String(passivePort).padStart(5, '0'),
    activeAddress,
    active,
    passive,
  ].join();
}
