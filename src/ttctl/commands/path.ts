import { ExitCode } from '../../common/exit-codes.ts';
import { queryPath } from '../../query/path.ts';
import { parseRange } from '../../query/range.ts';
import { formatTarget, TARGET_FORMS } from '../../query/target.ts';
import { renderGraph } from '../../render/graph-format.ts';
import { renderPath } from '../../render/path-text.ts';
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

export interface PathArguments extends CmdbArguments, RangeArguments {
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly format: GraphFormat;
}

export function pathOptions(yargs: Argv): Argv<PathArguments> {
  const positional = yargs
    .positional('from', { type: 'string', describe: `who depends: ${TARGET_FORMS}` })
    .positional('to', { type: 'string', describe: 'on what, in the same forms' });
  return graphFormatOption(rangeOptions(cmdbOptions(positional))) as Argv<PathArguments>;
}

/**
 * `ttctl path`: the shortest chains of dependencies from FROM to TO.
 * @returns 1 when there is none; the answer then says what coverage that rests on
 */
export async function runPath(args: PathArguments, io: Io): Promise<number> {
  const from = requireTarget(args.from, 'path', 'FROM and TO');
  const to = requireTarget(args.to, 'path', 'FROM and TO');
  const now = io.now();
  const range = parseRange(args.since, args.until, now);
  const answer = await withReader(args, io, async (client) => {
    const result = await queryPath(client, from, to, range);
    if (result.kind === 'answer') return result.answer;
    throw await noSuchTarget(client, result.which === 'from' ? from : to, range);
  });
  const names = { from: formatTarget(from), to: formatTarget(to) };
  const text =
    args.format === 'tree'
      ? renderPath(answer, { ...names, now, palette: paletteFor(io) })
      : renderGraph(answer, args.format);
  await write(io.stdout, text);
  return answer.paths.length > 0 ? ExitCode.ok : ExitCode.no;
}
