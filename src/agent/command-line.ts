import createYargs from 'yargs';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import { type GivenOptions, OPTION_NAMES, OPTION_SPECS, variableOf } from './options.ts';

/** What a command line asks for. */
export type CommandLine =
  | { readonly kind: 'print'; readonly text: string }
  | {
      /** `uninstall`: take down what an earlier run left in the kernel. */
      readonly kind: 'run' | 'uninstall';
      readonly argv: GivenOptions;
      readonly configPath: string | undefined;
    };

interface Spec {
  readonly describe: string;
  readonly default?: string;
  readonly choices?: readonly string[];
  readonly boolean?: true;
}

function parser(version: string) {
  const yargs = createYargs()
    .scriptName('ttracerd')
    .usage('ttracerd: traces which processes of this host depend on which, and records it')
    .version(version)
    .detectLocale(false)
    .wrap(100)
    .strict()
    .exitProcess(false)
    .showHelpOnFail(false)
    .parserConfiguration({
      'duplicate-arguments-array': false,
      'dot-notation': false,
      'boolean-negation': false,
      'camel-case-expansion': false,
      'parse-numbers': false,
    })
    .option('config', {
      type: 'string',
      requiresArg: true,
      describe: 'JSON file of options, read again at SIGHUP [TTRACER_CONFIG]',
    })
    .option('no-pin', { type: 'boolean', describe: 'the opposite of --pin', conflicts: 'pin' })
    .option('uninstall', {
      type: 'boolean',
      describe: 'remove what earlier runs left in the kernel, and exit',
    })
    .epilogue(
      'Exit codes: 0 ok, 2 usage, 3 no privilege or kernel support, 4 CMDB away, 5 newer CMDB',
    );
  for (const name of OPTION_NAMES) {
    const spec: Spec = OPTION_SPECS[name];
    const values = spec.choices ? ` (${spec.choices.join(', ')})` : '';
    const fallback = spec.default === undefined ? '' : ` [${spec.default}]`;
    yargs.option(name, {
      describe: `${spec.describe}${values}${fallback} (${variableOf(name)})`,
      ...(spec.boolean ? { type: 'boolean' } : { type: 'string', requiresArg: true }),
    });
  }
  return yargs;
}

/**
 * Reads a command line; values are checked later, with those of the environment and the file.
 * @throws UserError (usage), one line
 */
export async function parseCommandLine(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  version: string,
): Promise<CommandLine> {
  const outcome: { failure?: Error; text: string; args: Record<string, unknown> } = {
    text: '',
    args: {},
  };
  await parser(version).parse([...argv], {}, (error, args, text) => {
    if (error) outcome.failure ??= error;
    outcome.text = text;
    outcome.args = args as Record<string, unknown>;
  });
  if (outcome.failure !== undefined) {
    const message = outcome.failure.message.replaceAll(/\s*\n\s*/g, ' ').trim();
    throw new UserError(ExitCode.usage, `${message}; see ttracerd --help`, {
      cause: outcome.failure,
    });
  }
  if (outcome.text !== '') return { kind: 'print', text: `${outcome.text}\n` };
  const given = OPTION_NAMES.flatMap((name) => {
    const value = outcome.args[name];
    return value === undefined ? [] : [[name, String(value)]];
  });
  if (outcome.args['no-pin'] === true) given.push(['pin', 'false']);
  const config = outcome.args['config'] ?? env['TTRACER_CONFIG'];
  return {
    kind: outcome.args['uninstall'] === true ? 'uninstall' : 'run',
    argv: Object.fromEntries(given),
    configPath: typeof config === 'string' && config !== '' ? config : undefined,
  };
}
