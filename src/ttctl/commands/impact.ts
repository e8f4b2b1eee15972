import { ExitCode } from '../../common/exit-codes.ts';
import { queryImpact } from '../../query/impact.ts';
import { parseRange } from '../../query/range.ts';
import { TARGET_FORMS } from '../../query/target.ts';
import { renderGraph } from '../../render/graph-format.ts';
import { renderImpact } from '../../render/impact-text.ts';
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
import { MAX_DEPTH, noSuchTarget, parseDepth, requireTarget } from './ask.ts';

export interface ImpactArguments extends CmdbArguments, RangeArguments {
  readonly target: string | undefined;
  readonly depth: string;
  readonly format: GraphFormat;
}

export function impactOptions(yargs: Argv): Argv<ImpactArguments> {
  const positional = yargs
    .positional('target', { type: 'string', describe: TARGET_FORMS })
    .option('depth', {
      type: 'string',
      default: String(MAX_DEPTH),
      requiresArg: true,
      describe: 'how many edges to follow from TARGET, 1 to 100',
    });
  return graphFormatOption(rangeOptions(cmdbOptions(positional))) as Argv<ImpactArguments>;
}

/** `ttctl impact`: everything that depends on TARGET, nearest first. */
export async function runImpact(args: ImpactArguments, io: Io): Promise<number> {
  const target = requireTarget(args.target, 'impact');
  const now = io.now();
  const range = parseRange(args.since, args.until, now);
  const depth = parseDepth(args.depth);
  const impact = await withReader(args, io, async (client) => {
    const found = await queryImpact(client, target, range, depth);
    if (found !== null) return found;
    throw await noSuchTarget(client, target, range);
  });
  const text =
    args.format === 'tree'
      ? renderImpact(impact, { now, palette: paletteFor(io), depth })
      : renderGraph(impact, args.format);
  await write(io.stdout, text);
  return ExitCode.ok;
}
