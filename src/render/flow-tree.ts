import type { Graph } from '../query/graph.ts';
import { renderTree, type TreeOptions } from './tree.ts';

/** All flows in the tree's form: every passive endpoint that was reached, with its dependents. */
export function renderFlowTree(graph: Graph, options: Omit<TreeOptions, 'direction'>): string {
  const reached = new Set(graph.edges.map((edge) => edge.passive));
  const nodes = graph.nodes.map((node) => ({
    ...node,
    ports: [],
    depth: reached.has(node.id) ? 0 : 1,
  }));
  return renderTree({ ...graph, nodes }, { ...options, direction: 'dependents' });
}
