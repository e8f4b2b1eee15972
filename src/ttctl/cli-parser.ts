import createYargs from 'yargs';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import type { Io } from './io.ts';
import type { Argv } from './yargs-types.ts';

/** What a command line asks for: text that answers it already (help), or work to be done. */
export type Request =
  | { readonly kind: 'print'; readonly text: string }
  | { readonly kind: 'run'; readonly run: (io: Io) => Promise<number> };

/** A parser that neither prints nor exits by itself, and speaks English whatever the locale. */
export function baseParser(version: string): Argv {
  return createYargs()
    .scriptName('ttctl')
    .version(version)
    .detectLocale(false)
    .locale('en')
    .wrap(100)
    .strict()
    .exitProcess(false)
    .showHelpOnFail(false)
    .parserConfiguration({
      'duplicate-arguments-array': false,
      'dot-notation': false,
      'boolean-negation': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    });
}

/** Parses, and gives what yargs would have printed. */
export async function parseWith(
  parser: Argv,
  argv: readonly string[],
  parsed: (args: unknown) => void = () => undefined,
): Promise<string> {
  const outcome: { failure?: Error; text: string } = { text: '' };
  // When completions are asked for yargs calls back more than once; the last call has the text.
  await parser.parse([...argv], {}, (error, args, output) => {
    if (error) outcome.failure ??= error;
    outcome.text = output;
    parsed(args);
  });
  const { failure, text } = outcome;
  if (failure === undefined) return text;
  if (failure instanceof UserError) throw failure;
  throw new UserError(ExitCode.usage, `${oneLine(failure.message)}; see ttctl --help`, {
    cause: failure,
  });
}

function oneLine(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join(' ');
}
