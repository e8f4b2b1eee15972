import type { Graph } from '../query/graph.ts';
import { graphCsv } from './csv.ts';
import { graphDot, graphMermaid } from './diagram.ts';
import { graphJson, graphJsonLines } from './json.ts';

/** Every form of a graph but the tree, which needs to know more of the question. */
export function renderGraph(
  graph: Graph,
  format: 'json' | 'jsonl' | 'dot' | 'mermaid' | 'csv',
): string {
  switch (format) {
    case 'json':
      return graphJson(graph);
    case 'jsonl':
      return graphJsonLines(graph);
    case 'dot':
      return graphDot(graph);
    case 'mermaid':
      return graphMermaid(graph);
    case 'csv':
      return graphCsv(graph);
  }
}
