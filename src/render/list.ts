import type { NamedHost } from '../query/coverage.ts';
import type { CoverageInterval } from '../query/graph.ts';
import type { TimeRange } from '../query/range.ts';
import { coverageFooter } from './coverage-footer.ts';
import { type CsvValue, toCsv } from './csv.ts';
import { listJson, toJsonLines } from './json.ts';
import type { Palette } from './palette.ts';
import { renderTable } from './table.ts';

/** A list and how to show it. */
export interface ListAnswer<T> {
  /** Its key in the JSON. */
  readonly name: string;
  readonly range: TimeRange;
  readonly items: readonly T[];
  readonly coverage?: readonly CoverageInterval[];
  /** Hosts that the list is about; below a table stands when they were not watched. */
  readonly hosts?: readonly NamedHost[];
  /** What the table says when the list is empty. */
  readonly empty: string;
  readonly columns: readonly (readonly [heading: string, cell: (item: T) => string])[];
}

/** Renders a list. JSON has every field of the items; CSV has the columns of the table. */
export function renderList<T extends object>(
  list: ListAnswer<T>,
  format: 'table' | 'json' | 'jsonl' | 'csv',
  palette: Palette,
): string {
  switch (format) {
    case 'json':
      return listJson(list.name, list.range, list.items, list.coverage, list.hosts);
    case 'jsonl':
      return toJsonLines(list.items);
    case 'csv':
      return listCsv(list);
    case 'table':
      return `${listTable(list, palette)}${footer(list, palette)}`;
  }
}

function listTable<T extends object>(list: ListAnswer<T>, palette: Palette): string {
  if (list.items.length === 0) return `${list.empty}\n`;
  return renderTable(
    list.columns.map(([heading]) => heading),
    list.items.map((item) => list.columns.map(([, cell]) => cell(item))),
    palette,
  );
}

function footer<T extends object>(list: ListAnswer<T>, palette: Palette): string {
  if (list.hosts === undefined || list.coverage === undefined) return '';
  const watched = { ...list.range, coverage: list.coverage };
  const lines = coverageFooter(watched, list.hosts);
  return lines.map((line) => `${palette.dim(`# ${line}`)}\n`).join('');
}

function listCsv<T extends object>(list: ListAnswer<T>): string {
  return toCsv(
    list.columns.map(([heading]) => heading.replaceAll(' ', '_')),
    list.items.map((item): CsvValue[] => list.columns.map(([, cell]) => cell(item))),
  );
}
