import { ExitCode } from '../../common/exit-codes.ts';
import { parseRange } from '../../query/range.ts';
import { queryRetirement } from '../../query/retire.ts';
import { TARGET_FORMS } from '../../query/target.ts';
import { renderGraph } from '../../render/graph-format.ts';
import { renderRetirement } from '../../render/retire-text.ts';
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
import { noSuchTarget, requireTarget } from './ask.ts';

export interface RetireArguments extends CmdbArguments, RangeArguments {
  readonly target: string | undefined;
  readonly format: GraphFormat;
}

export function retireOptions(yargs: Argv): Argv<RetireArguments> {
  const positional = yargs.positional('target', { type: 'string', describe: TARGET_FORMS });
  return graphFormatOption(rangeOptions(cmdbOptions(positional))) as Argv<RetireArguments>;
}

/**
 * `ttctl retire`: whether TARGET can be switched off.
 * @returns 0 only when nothing used it in the range and it was watched throughout; else 1
 */
export async function runRetire(args: RetireArguments, io: Io): Promise<number> {
  const target = requireTarget(args.target, 'retire');
  const now = io.now();
  const range = parseRange(args.since, args.until, now);
  const found = await withReader(args, io, async (client) => {
    const answer = await queryRetirement(client, target, range);
    if (answer !== null) return answer;
    throw await noSuchTarget(client, target, range);
  });
  const text =
    args.format === 'tree'
      ? renderRetirement(found, now, paletteFor(io))
      : renderGraph(found, args.format);
  await write(io.stdout, text);
  return found.verdict === 'unused' ? ExitCode.ok : ExitCode.no;
}
