import { type Graph, type GraphEdge, type GraphNode, isFailedEdge } from '../query/graph.ts';
import { printable } from './printable.ts';

/** What a diagram says of a node, a line each. */
function nodeLines(node: GraphNode): string[] {
  const place = [node.host, node.addresses.join(' ')].filter((part) => part).join(' ');
  return [node.process ?? '?', ...(node.unit === null ? [] : [node.unit]), place].map(printable);
}

/** An edge of a diff says what became of it. */
function edgeLabel(edge: GraphEdge & { readonly change?: string }): string {
  const counts = isFailedEdge(edge) ? `failed ${edge.failed}` : `${edge.connections}`;
  const change = edge.change === undefined ? '' : `${edge.change} `;
  return `${change}:${edge.passivePort} ${counts}`;
}

/** Graphviz. Failed edges are dashed and red. */
export function graphDot(graph: Graph): string {
  const ids = shortIds(graph);
  const nodes = graph.nodes.map(
    (node) =>
      `  ${ids.get(node.id)} [label="${nodeLines(node).map(escapeDot).join('\\n')}"${node.depth === 0 ? ', style=bold' : ''}];`,
  );
  const edges = graph.edges.map((edge) => {
    const style = isFailedEdge(edge) ? ', style=dashed, color=red' : '';
    return `  ${ids.get(edge.active)} -> ${ids.get(edge.passive)} [label="${escapeDot(edgeLabel(edge))}"${style}];`;
  });
  const head = ['digraph transtracer {', '  rankdir=LR;', '  node [shape=box];'];
  return `${[...head, ...nodes, ...edges, '}'].join('\n')}\n`;
}

/** Mermaid flowchart. Failed edges are dotted. */
export function graphMermaid(graph: Graph): string {
  const ids = shortIds(graph);
  const nodes = graph.nodes.map(
    (node) => `  ${ids.get(node.id)}["${nodeLines(node).map(escapeMermaid).join('<br/>')}"]`,
  );
  const edges = graph.edges.map((edge) => {
    const arrow = isFailedEdge(edge) ? '-.->' : '-->';
    return `  ${ids.get(edge.active)} ${arrow}|"${escapeMermaid(edgeLabel(edge))}"| ${ids.get(edge.passive)}`;
  });
  return `${['flowchart LR', ...nodes, ...edges].join('\n')}\n`;
}

/** Node ids hold addresses and hashes; diagrams get short names that need no escaping. */
function shortIds(graph: Graph): Map<string, string> {
  return new Map(graph.nodes.map((node, index) => [node.id, `n${index}`]));
}

/** Backslashes would start an escape such as `\N` in a label. */
function escapeDot(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}

/** Anything that could be Mermaid or HTML syntax becomes a character code. */
function escapeMermaid(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9 ._:/@-]/gu, (character) => `#${character.codePointAt(0)};`);
}
