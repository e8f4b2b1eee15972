import { formatEndpoint } from '../query/address.ts';
import { type Graph, type GraphEdge, type GraphNode, isFailedEdge } from '../query/graph.ts';
import { coverageFooter, coverageLine } from './coverage-footer.ts';
import { coverageOf } from './coverage-text.ts';
import { compareEdges, describeNode, edgeFacts } from './edge-text.ts';
import type { Palette } from './palette.ts';
import { printable } from './printable.ts';

export interface TreeOptions {
  readonly direction: 'dependents' | 'dependencies' | 'both';
  /** Levels to show below a heading. */
  readonly depth: number;
  /** The port TARGET named, if any: other ports of its processes get no heading of their own. */
  readonly port: number | null;
  readonly now: Date;
  readonly palette: Palette;
}

type Way = 'dependents' | 'dependencies';

/**
 * The paper's form: under each endpoint of the TARGET who connects to it, under `ADDRESS:many` what
 * it connects to. What this program knows besides stands after two spaces.
 */
export function renderTree(graph: Graph, options: TreeOptions): string {
  const tree = new Tree(graph, options);
  const seeds = graph.nodes.filter((node) => node.depth === 0);
  const lines = seeds.flatMap((seed) => tree.seed(seed));
  const footer = footerOf(graph, seeds).map((line) => options.palette.dim(`# ${line}`));
  const body = lines.length > 0 ? lines : ['nothing has connected in this range'];
  return `${[...body, ...footer].join('\n')}\n`;
}

/** A line for each host of the TARGET, and for the others in the answer what was not watched. */
function footerOf(graph: Graph, seeds: readonly GraphNode[]): string[] {
  const asked = seeds.length === 0 ? graph.coverage : seeds;
  const own = new Map(
    [...graph.coverage, ...asked].flatMap(({ hostId, host }) => (hostId ? [[hostId, host]] : [])),
  );
  const askedIds = new Set(asked.map(({ hostId }) => hostId));
  const lines = [...own]
    .filter(([hostId]) => askedIds.has(hostId))
    .map(([hostId, host]) => coverageLine({ hostId, host }, graph));
  const others = graph.nodes.filter(({ hostId }) => hostId !== null && !askedIds.has(hostId));
  return others.length === 0 ? lines : [...lines, ...coverageFooter(graph, others)];
}

class Tree {
  readonly #graph: Graph;
  readonly #options: TreeOptions;
  readonly #nodes: ReadonlyMap<string, GraphNode>;
  readonly #edges: Readonly<Record<Way, ReadonlyMap<string, GraphEdge[]>>>;

  constructor(graph: Graph, options: TreeOptions) {
    this.#graph = graph;
    this.#options = options;
    this.#nodes = new Map(graph.nodes.map((node) => [node.id, node]));
    const sorted = graph.edges.toSorted(compareEdges);
    this.#edges = {
      dependents: collect(sorted, (edge) => edge.passive),
      dependencies: collect(sorted, (edge) => edge.active),
    };
  }

  /** The headings of one node of the TARGET, and what hangs below them. */
  seed(node: GraphNode): string[] {
    const { direction } = this.#options;
    const dependents = direction === 'dependencies' ? [] : this.#dependents(node);
    const dependencies = direction === 'dependents' ? [] : this.#dependencies(node);
    if (dependents.length + dependencies.length > 0) return [...dependents, ...dependencies];
    const heading = this.#heading(formatEndpoint(node.addresses[0] ?? '*', 'many'), node);
    return [heading, this.#nothing('no connections', node)];
  }

  #dependents(node: GraphNode): string[] {
    const edges = this.#edges.dependents.get(node.id) ?? [];
    const byEndpoint = collect(edges, (edge) =>
      formatEndpoint(edge.passiveAddress, edge.passivePort),
    );
    const used = new Set(edges.map((edge) => edge.passivePort));
    const unused = node.ports.filter(
      (port) => !used.has(port) && (this.#options.port ?? port) === port,
    );
    return [
      ...this.#branches('dependents', node, byEndpoint),
      ...unused.flatMap((port) => [
        this.#heading(formatEndpoint(node.addresses[0] ?? '*', port), node),
        this.#nothing('nothing has connected', node),
      ]),
    ];
  }

  #dependencies(node: GraphNode): string[] {
    const edges = this.#edges.dependencies.get(node.id) ?? [];
    const byAddress = collect(edges, (edge) => formatEndpoint(edge.activeAddress, 'many'));
    return this.#branches('dependencies', node, byAddress);
  }

  #branches(way: Way, node: GraphNode, groups: ReadonlyMap<string, GraphEdge[]>): string[] {
    const expanded = new Set([node.id]);
    return [...groups].flatMap(([endpoint, edges]) => [
      this.#heading(endpoint, node),
      ...edges.flatMap((edge) => this.#branch(way, edge, [node.id], expanded)),
    ]);
  }

  /** One edge, and below it those of the node it leads to, unless that is shown already. */
  #branch(way: Way, edge: GraphEdge, path: readonly string[], expanded: Set<string>): string[] {
    const farId = way === 'dependents' ? edge.active : edge.passive;
    const next = path.length < this.#options.depth ? (this.#edges[way].get(farId) ?? []) : [];
    const repeat =
      next.length === 0 || !expanded.has(farId)
        ? []
        : [path.includes(farId) ? 'a cycle' : 'shown above'];
    const line = this.#line(way, edge, path.length, repeat);
    if (repeat.length > 0) return [line];
    expanded.add(farId);
    return [line, ...next.flatMap((below) => this.#branch(way, below, [...path, farId], expanded))];
  }

  #line(way: Way, edge: GraphEdge, level: number, remarks: readonly string[]): string {
    const indent = '    '.repeat(level - 1);
    const [arrow, id, endpoint] =
      way === 'dependents'
        ? ['└<--', edge.active, formatEndpoint(edge.activeAddress, 'many')]
        : ['└-->', edge.passive, formatEndpoint(edge.passiveAddress, edge.passivePort)];
    const node = this.#nodes.get(id);
    const via =
      way === 'dependents' && level > 1
        ? [`to ${formatEndpoint(edge.passiveAddress, edge.passivePort)}`]
        : [];
    const facts = [...edgeFacts(edge, node, this.#options.now), ...via, ...remarks].join(', ');
    const { dim, alarm } = this.#options.palette;
    const tone = isFailedEdge(edge) ? alarm : dim;
    return `${indent}${arrow} ${endpoint} ${describeNode(node)}  ${tone(facts)}`;
  }

  #heading(endpoint: string, node: GraphNode): string {
    const { bold, dim } = this.#options.palette;
    const facts = [node.host === null ? 'no agent there' : `on ${printable(node.host)}`];
    if (node.unit !== null) facts.push(printable(node.unit));
    return `${bold(`${endpoint} ${describeNode(node)}`)}  ${dim(facts.join(', '))}`;
  }

  #nothing(what: string, node: GraphNode): string {
    return this.#options.palette.dim(
      `    ${what} in this range; ${coverageOf(node.hostId, this.#graph)}`,
    );
  }
}

function collect<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}
