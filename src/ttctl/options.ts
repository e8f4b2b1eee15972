import type { Argv } from './yargs-types.ts';

/** Formats of answers that are graphs, and of those that are lists. */
export const GRAPH_FORMATS = ['tree', 'json', 'jsonl', 'dot', 'mermaid', 'csv'] as const;
export const LIST_FORMATS = ['table', 'tree', 'json', 'jsonl', 'csv'] as const;

export type GraphFormat = (typeof GRAPH_FORMATS)[number];
export type ListFormat = (typeof LIST_FORMATS)[number];

/** Which CMDB: what every command that reads it takes. */
export interface CmdbArguments {
  readonly cmdb: string | undefined;
  readonly dataDir: string | undefined;
}

export interface RangeArguments {
  readonly since: string | undefined;
  readonly until: string | undefined;
}

export function cmdbOptions<T>(yargs: Argv<T>): Argv<T & CmdbArguments> {
  return yargs
    .option('cmdb', {
      type: 'string',
      requiresArg: true,
      describe: "the CMDB: a postgres:// URL or 'embedded' [TTRACER_CMDB, else PG*, else embedded]",
    })
    .option('data-dir', {
      type: 'string',
      requiresArg: true,
      describe: 'where the embedded CMDB lives [TTRACER_DATA_DIR, else /var/lib/transtracer]',
    }) as unknown as Argv<T & CmdbArguments>;
}

export function rangeOptions<T>(yargs: Argv<T>): Argv<T & RangeArguments> {
  return yargs
    .option('since', {
      type: 'string',
      requiresArg: true,
      describe: 'start: a duration back from now (2h, 7d) or an ISO time, UTC [24h before --until]',
    })
    .option('until', {
      type: 'string',
      requiresArg: true,
      describe: 'end, in the same forms [now]',
    }) as unknown as Argv<T & RangeArguments>;
}

export function graphFormatOption<T>(yargs: Argv<T>): Argv<T & { format: GraphFormat }> {
  return yargs.option('format', {
    choices: GRAPH_FORMATS,
    default: 'tree' as GraphFormat,
    requiresArg: true,
    describe: 'form of the answer',
  }) as Argv<T & { format: GraphFormat }>;
}

export function listFormatOption<T>(yargs: Argv<T>): Argv<T & { format: ListFormat }> {
  return yargs.option('format', {
    choices: LIST_FORMATS,
    default: 'table' as ListFormat,
    requiresArg: true,
    describe: 'form of the answer; tree is the same as table',
  }) as Argv<T & { format: ListFormat }>;
}
