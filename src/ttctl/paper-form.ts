import { ExitCode, UserError } from '../common/exit-codes.ts';
import { formatEndpoint } from '../query/address.ts';
import { baseParser, parseWith, type Request } from './cli-parser.ts';
import { parseDepth } from './commands/ask.ts';
import { runDeps } from './commands/deps.ts';
import { runInit } from './commands/init.ts';
import type { Io } from './io.ts';
import {
  type GraphFormat,
  graphFormatOption,
  type RangeArguments,
  rangeOptions,
} from './options.ts';
import type { Argv } from './yargs-types.ts';

interface PaperArguments extends RangeArguments {
  readonly dbhost: string | undefined;
  readonly dbport: string | undefined;
  readonly dbuser: string | undefined;
  readonly dbpass: string | undefined;
  readonly dbname: string | undefined;
  readonly ipv4: string | undefined;
  readonly port: string | undefined;
  readonly depth: string;
  readonly createSchema: boolean;
  readonly format: GraphFormat;
}

const PAPER_FLAG = /^--(?:db(?:host|port|user|pass|name)|ipv4|create-schema)(?:=|$)/;

/** True when a command line is in the paper's form: flags only, no command. */
export function isPaperForm(argv: readonly string[]): boolean {
  return argv.some((argument) => PAPER_FLAG.test(argument));
}

/**
 * Reads `--dbhost H --dbport P --dbuser U --dbpass W --dbname D --ipv4 ADDR [--port N] [--depth N]`
 * or the same with `--create-schema`. What is left out comes from libpq's variables.
 * @throws UserError (usage)
 */
export async function parsePaperForm(argv: readonly string[], version: string): Promise<Request> {
  const parser = paperOptions(baseParser(version));
  let args: PaperArguments | undefined;
  const text = await parseWith(parser, argv, (parsed) => {
    args = parsed as PaperArguments;
  });
  if (text !== '') return { kind: 'print', text: `${text}\n` };
  if (args === undefined) throw new Error('yargs gave neither arguments nor text');
  return toRequest(args);
}

function paperOptions(yargs: Argv): Argv {
  const text = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
  const described = yargs
    .usage('ttctl --dbhost H --dbport P --dbuser U --dbpass W --dbname D --ipv4 ADDR')
    .option('dbhost', text('host of the CMDB'))
    .option('dbport', text('its port'))
    .option('dbuser', text('database user'))
    .option('dbpass', text("that user's password"))
    .option('dbname', text('database'))
    .option('ipv4', text('address whose dependencies are asked for'))
    .option('port', text('only the process that listens on this port'))
    .option('depth', { ...text('how many edges to follow'), default: '1' })
    .option('create-schema', { type: 'boolean', default: false, describe: 'set up the CMDB' });
  return graphFormatOption(rangeOptions(described));
}

function toRequest(args: PaperArguments): Request {
  const cmdb = { cmdb: databaseUrl(args), dataDir: undefined };
  if (args.createSchema) {
    const init = { ...cmdb, roles: false, writerRole: undefined, readerRole: undefined };
    return { kind: 'run', run: (io: Io) => runInit(init, io) };
  }
  const { ipv4, port, depth, format, since, until } = args;
  if (ipv4 === undefined) {
    throw new UserError(ExitCode.usage, '--ipv4 ADDR is missing; see ttctl --help');
  }
  parseDepth(depth);
  const target = port === undefined ? ipv4 : formatEndpoint(ipv4, port);
  const request = { ...cmdb, target, direction: 'both', depth, format, since, until } as const;
  return { kind: 'run', run: (io: Io) => runDeps(request, io) };
}

/** The flags as a URL; undefined, so that the environment decides, when none was given. */
function databaseUrl(args: PaperArguments): string | undefined {
  const parameters = Object.entries({
    host: args.dbhost,
    port: args.dbport,
    user: args.dbuser,
    password: args.dbpass,
    dbname: args.dbname,
  }).filter((entry): entry is [string, string] => entry[1] !== undefined);
  if (parameters.length === 0) return undefined;
  const port = Number(args.dbport ?? 1);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    const value = JSON.stringify(args.dbport);
    throw new UserError(ExitCode.usage, `--dbport: ${value} is not a number from 1 to 65535`);
  }
  return `postgres://?${new URLSearchParams(parameters)}`;
}
