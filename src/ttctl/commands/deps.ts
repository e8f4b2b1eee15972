import { ExitCode } from '../../common/exit-codes.ts';
import { type DepsOptions, queryDeps } from '../../query/deps.ts';
import { parseRange } from '../../query/range.ts';
import { TARGET_FORMS } from '../../query/target.ts';
import { renderGraph } from '../../render/graph-format.ts';
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
import { noSuchTarget, parseDepth, requireTarget } from './ask.ts';

export interface DepsArguments extends CmdbArguments, RangeArguments {
  readonly target: string | undefined;
  readonly direction: DepsOptions['direction'];
  readonly depth: string;
  readonly format: GraphFormat;
}

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
  const target = requireTarget(args.target, 'deps');
  const now = io.now();
  const range = parseRange(args.since, args.until, now);
  const depth = parseDepth(args.depth);
  const { direction, format } = args;
  const graph = await withReader(args, io, async (client) => {
    const found = await queryDeps(client, target, range, { direction, depth });
    if (found !== null) return found;
    throw await noSuchTarget(client, target, range);
  });
  const port = target.kind === 'endpoint' ? target.port : null;
  const text =
    format === 'tree'
      ? renderTree(graph, { direction, depth, port, now, palette: paletteFor(io) })
      : renderGraph(graph, format);
  await write(io.stdout, text);
  return ExitCode.ok;
}
