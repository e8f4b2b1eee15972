import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { type Change, isProven, queryDiff } from '../../query/diff.ts';
import { parseSpan } from '../../query/range.ts';
import { diffFormat, renderDiff } from '../../render/diff-text.ts';
import { type Io, paletteFor, write } from '../io.ts';
import {
  type CmdbArguments,
  cmdbOptions,
  type GraphFormat,
  graphFormatOption,
} from '../options.ts';
import { withReader } from '../session.ts';
import type { Argv } from '../yargs-types.ts';

export interface DiffArguments extends CmdbArguments {
  readonly before: string | undefined;
  readonly after: string | undefined;
  readonly failOn: string | undefined;
  readonly format: GraphFormat;
}

const CHANGES: readonly Change[] = ['new', 'gone', 'failed'];

export function diffOptions(yargs: Argv): Argv<DiffArguments> {
  const described = yargs
    .option('before', {
      type: 'string',
      requiresArg: true,
      describe: 'range A..B to compare with, each end as in --since: 7d..1d',
    })
    .option('after', {
      type: 'string',
      requiresArg: true,
      describe: 'range to look at: 1d.. (until now)',
    })
    .option('fail-on', {
      type: 'string',
      requiresArg: true,
      describe: 'exit with 1 when there are such changes: new,gone,failed',
    });
  return graphFormatOption(cmdbOptions(described)) as unknown as Argv<DiffArguments>;
}

/**
 * `ttctl diff`: dependencies that appeared, went away or began to fail between two ranges.
 * @returns 1 when `--fail-on` names a kind of change that is there; one that may only seem so, since
 *   nobody watched or the process was not known, does not count
 */
export async function runDiff(args: DiffArguments, io: Io): Promise<number> {
  const now = io.now();
  if (args.before === undefined || args.after === undefined) {
    throw new UserError(
      ExitCode.usage,
      'diff needs --before RANGE and --after RANGE, like --before 7d..1d --after 1d..',
    );
  }
  const before = parseSpan(args.before, '--before', now);
  const after = parseSpan(args.after, '--after', now);
  const failOn = parseFailOn(args.failOn);
  const diff = await withReader(args, io, (client) => queryDiff(client, before, after));
  const text =
    args.format === 'tree' ? renderDiff(diff, now, paletteFor(io)) : diffFormat(diff, args.format);
  await write(io.stdout, text);
  const failing = diff.edges.some((edge) => failOn.includes(edge.change) && isProven(edge));
  return failing ? ExitCode.no : ExitCode.ok;
}

/** @throws UserError (usage) for anything but a list of kinds of change */
function parseFailOn(text: string | undefined): Change[] {
  if (text === undefined) return [];
  return text.split(',').map((word) => {
    const change = CHANGES.find((known) => known === word.trim());
    if (change !== undefined) return change;
    throw new UserError(
      ExitCode.usage,
      `--fail-on: ${JSON.stringify(word)} is none of ${CHANGES.join(', ')}`,
    );
  });
}
