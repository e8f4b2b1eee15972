import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { loadCoverage } from '../../query/coverage.ts';
import { type DepsOptions, queryDeps } from '../../query/deps.ts';
import { parseRange, type TimeRange } from '../../query/range.ts';
import { formatTarget, parseTarget, TARGET_FORMS, type Target } from '../../query/target.ts';
import { renderGraph } from '../../render/graph-format.ts';
import { printable } from '../../render/printable.ts';
import { counted } from '../../render/spans.ts';
import { renderTree } from '../../render/tree.ts';
import { type Io, paletteFor, write } from '../io.ts';
import {
  type CmdbArguments,
  cmdbOptions,
  type GraphFormat,
  graphFormatOption,
  type RangeArguments,
  rangeOptions,
} from '../options.ts';
import { withReader } from '../session.ts';
import type { Argv } from '../yargs-types.ts';

export interface DepsArguments extends CmdbArguments, RangeArguments {
  readonly target: string | undefined;
  readonly direction: DepsOptions['direction'];
  readonly depth: string;
  readonly format: GraphFormat;
}

/** A search that deep has long covered everything; more is a typing error. */
const MAX_DEPTH = 100;

export function depsOptions(yargs: Argv): Argv<DepsArguments> {
  const positional = yargs
    .positional('target', { type: 'string', describe: TARGET_FORMS })
    .option('direction', {
      choices: ['dependents', 'dependencies', 'both'] as const,
      default: 'both' as const,
      requiresArg: true,
      describe: 'who depends on TARGET, what it depends on, or both',
    })
    .option('depth', {
      type: 'string',
      default: '1',
      requiresArg: true,
      describe: 'how many edges to follow from TARGET, 1 to 100',
    });
  return graphFormatOption(rangeOptions(cmdbOptions(positional))) as Argv<DepsArguments>;
}

/** `ttctl deps`: arguments are checked before anything is connected to. */
export async function runDeps(args: DepsArguments, io: Io): Promise<number> {
  if (args.target === undefined) {
    throw new UserError(ExitCode.usage, `deps needs a TARGET: ${TARGET_FORMS}`);
  }
  const target = parseTarget(args.target);
  const now = io.now();
  const range = parseRange(args.since, args.until, now);
  const depth = parseDepth(args.depth);
  const { direction, format } = args;
  const graph = await withReader(args, io, async (client) => {
    const found = await queryDeps(client, target, range, { direction, depth });
    if (found !== null) return found;
    const coverage = await loadCoverage(client, range, null);
    throw noSuchTarget(target, range, new Set(coverage.map((interval) => interval.hostId)).size);
  });
  const port = target.kind === 'endpoint' ? target.port : null;
  const text =
    format === 'tree'
      ? renderTree(graph, { direction, depth, port, now, palette: paletteFor(io) })
      : renderGraph(graph, format);
  await write(io.stdout, text);
  return ExitCode.ok;
}

/** @throws UserError (usage) for anything but a whole number from 1 to 100 */
export function parseDepth(text: string): number {
  const depth = /^\d{1,3}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (depth >= 1 && depth <= MAX_DEPTH) return depth;
  throw new UserError(
    ExitCode.usage,
    `--depth: ${JSON.stringify(text)} is not a whole number from 1 to ${MAX_DEPTH}`,
  );
}

function noSuchTarget(target: Target, range: TimeRange, hosts: number): UserError {
  const from = `${range.since.toISOString()} to ${range.until.toISOString()}`;
  const watched = hosts === 0 ? 'no host was watched' : `${counted(hosts, 'host')} watched`;
  return new UserError(
    ExitCode.no,
    `no such target: nothing matches ${printable(formatTarget(target))} from ${from} (${watched})`,
  );
}
