import { formatEndpoint } from '../query/address.ts';
import { groupBy } from '../query/group-by.ts';
import type { ChainOfNodes, PathAnswer } from '../query/path.ts';
import { coverageFooter } from './coverage-footer.ts';
import { compareEdges, describeNode, edgeFacts } from './edge-text.ts';
import { UNCERTAIN } from './impact-text.ts';
import type { Palette } from './palette.ts';
import { printable } from './printable.ts';
import { counted } from './spans.ts';

export interface PathTextOptions {
  readonly from: string;
  readonly to: string;
  readonly now: Date;
  readonly palette: Palette;
}

/** The chains one below the other, each hop with its busiest edge; or that there is none. */
export function renderPath(answer: PathAnswer, options: PathTextOptions): string {
  const { from, to, palette } = options;
  const chains = answer.paths.flatMap((path) => chainLines(path, answer, options));
  const none =
    answer.paths.length > 0
      ? []
      : [`no chain of dependencies from ${printable(from)} to ${printable(to)} in this range`];
  const more = answer.more ? ['there are more chains of this length'] : [];
  const footer = [...more, ...coverageFooter(answer, [...answer.nodes, ...answer.coverage])];
  return `${[...chains, ...none, ...footer.map((line) => palette.dim(`# ${line}`))].join('\n')}\n`;
}

function chainLines(
  path: ChainOfNodes,
  answer: PathAnswer,
  { now, palette }: PathTextOptions,
): string[] {
  const nodes = new Map(answer.nodes.map((node) => [node.id, node]));
  const edges = groupBy(
    answer.edges.toSorted(compareEdges),
    (edge) => `${edge.active}|${edge.passive}`,
  );
  const [first = '', ...rest] = path.nodes;
  const start = nodes.get(first);
  const where = start?.host ? `on ${printable(start.host)}` : 'no agent there';
  const remarks = [
    where,
    path.hops === 0 ? 'both FROM and TO' : counted(path.hops, 'hop'),
    ...(path.uncertain ? [UNCERTAIN] : []),
  ];
  const between = (index: number) => edges.get(`${path.nodes[index]}|${path.nodes[index + 1]}`);
  const address = between(0)?.[0]?.activeAddress ?? start?.addresses[0] ?? '*';
  const heading = palette.bold(`${formatEndpoint(address, 'many')} ${describeNode(start)}`);
  const hops = rest.flatMap((id, index) => {
    const [edge, ...others] = between(index) ?? [];
    if (edge === undefined) return [];
    const also = others.length > 0 ? [`and ${counted(others.length, 'edge')} more`] : [];
    const facts = [...edgeFacts(edge, nodes.get(id), now), ...also].join(', ');
    const endpoint = formatEndpoint(edge.passiveAddress, edge.passivePort);
    const indent = '    '.repeat(index);
    return [`${indent}└--> ${endpoint} ${describeNode(nodes.get(id))}  ${palette.dim(facts)}`];
  });
  return [`${heading}  ${palette.dim(remarks.join(', '))}`, ...hops];
}
