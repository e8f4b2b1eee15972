import type { Graph } from '../query/graph.ts';
import { printable } from './printable.ts';

export type CsvValue = string | number | bigint | boolean | Date | null | undefined;

/**
 * RFC 4180 text with a header line. Text that a spreadsheet would run as a formula gets a leading
 * apostrophe; control characters become visible escapes.
 */
export function toCsv(header: readonly string[], rows: readonly (readonly CsvValue[])[]): string {
  return [header, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}

function cell(value: CsvValue): string {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== 'string') return String(value);
  const text = printable(value);
  const guarded = /^[=+\-@]/.test(text) ? `'${text}` : text;
  return /[",]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
}

const END_COLUMNS = ['id', 'host', 'process', 'exe', 'unit', 'container', 'uid', 'pgid'] as const;

/** One edge a row, with its two nodes. */
export function graphCsv(graph: Graph): string {
  const { header, rows } = graphRows(graph);
  return toCsv(header, rows);
}

/** The columns and rows of {@link graphCsv}, in the order of the edges. */
export function graphRows(graph: Pick<Graph, 'nodes' | 'edges'>): {
  header: string[];
  rows: CsvValue[][];
} {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const end = (id: string): CsvValue[] =>
    END_COLUMNS.map((column) => (column === 'id' ? id : nodes.get(id)?.[column]));
  const header = [
    ...END_COLUMNS.map((column) => `active_${column}`),
    'active_address',
    ...END_COLUMNS.map((column) => `passive_${column}`),
    ...['passive_address', 'passive_port', 'proto', 'connections', 'failed', 'open'],
    ...['bytes_to_passive', 'bytes_to_active', 'first_seen', 'last_seen', 'seen_by', 'found_by'],
    'ambiguous',
  ];
  const rows = graph.edges.map((edge) => [
    ...end(edge.active),
    edge.activeAddress,
    ...end(edge.passive),
    ...[edge.passiveAddress, edge.passivePort, edge.proto],
    ...[edge.connections, edge.failed, edge.open, edge.bytesToPassive, edge.bytesToActive],
    ...[edge.firstSeen, edge.lastSeen, edge.seenBy, edge.foundBy.join(' '), edge.ambiguous],
  ]);
  return { header, rows };
}
