import { type NamedHost, unwatchedTimes } from '../query/coverage.ts';
import type { CoverageInterval, Graph, GraphEdge } from '../query/graph.ts';
import { printableJson } from './printable.ts';

/** Version of the JSON shapes. */
export const JSON_SCHEMA = 1;

/**
 * Turns values into what JSON can say: times are ISO 8601 in UTC; counts are numbers up to
 * 2^53 - 1, and decimal strings beyond, where a number would silently be rounded.
 */
function replacer(_key: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  const exact =
    value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER);
  return exact ? Number(value) : value.toString();
}

/** Serialises a value on several lines, ending with a newline. */
export function toJson(value: unknown): string {
  return `${printableJson(JSON.stringify(value, replacer, 2))}\n`;
}

/** Serialises values one a line. */
export function toJsonLines(values: readonly unknown[]): string {
  return values.map((value) => `${printableJson(JSON.stringify(value, replacer))}\n`).join('');
}

/** The contract's JSON of `deps` and `flows`; `unwatched` are the holes in the coverage. */
export function graphJson(graph: Graph): string {
  const unwatched = unwatchedTimes([...graph.nodes, ...graph.coverage], graph.coverage, graph);
  return toJson({ schema: JSON_SCHEMA, ...graph, unwatched });
}

/** One edge a line, with its two nodes in full. */
export function graphJsonLines(graph: Graph): string {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  return toJsonLines(
    graph.edges.map((edge: GraphEdge) => ({
      schema: JSON_SCHEMA,
      ...edge,
      active: nodes.get(edge.active),
      passive: nodes.get(edge.passive),
    })),
  );
}

/** A list with its range, such as hosts or listeners. */
export function listJson(
  name: string,
  range: { readonly since: Date; readonly until: Date },
  items: readonly unknown[],
  coverage?: readonly CoverageInterval[],
  hosts: readonly NamedHost[] = [],
): string {
  const { since, until } = range;
  const tail =
    coverage === undefined
      ? {}
      : { coverage, unwatched: unwatchedTimes([...hosts, ...coverage], coverage, range) };
  return toJson({ schema: JSON_SCHEMA, since, until, [name]: items, ...tail });
}
