import { initCmdb } from '../../cmdb/reader.ts';
import { DEFAULT_READER, DEFAULT_WRITER, type RolesOutcome } from '../../cmdb/roles.ts';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { type Io, write } from '../io.ts';
import { type CmdbArguments, cmdbOptions } from '../options.ts';
import { CONNECT_TIMEOUT_MS, locateCmdb } from '../session.ts';
import type { Argv } from '../yargs-types.ts';

export interface InitArguments extends CmdbArguments {
  readonly roles: boolean;
  readonly writerRole: string | undefined;
  readonly readerRole: string | undefined;
}

export function initOptions(yargs: Argv): Argv<InitArguments> {
  return cmdbOptions(
    yargs
      .option('roles', {
        type: 'boolean',
        default: false,
        describe:
          'also make a role for agents and one for those who ask, or set their rights right',
      })
      .option('writer-role', {
        type: 'string',
        requiresArg: true,
        describe: `name of the role for agents, with --roles [${DEFAULT_WRITER}]`,
      })
      .option('reader-role', {
        type: 'string',
        requiresArg: true,
        describe: `name of the role for those who ask, with --roles [${DEFAULT_READER}]`,
      }),
  ) as unknown as Argv<InitArguments>;
}

/** `ttctl init`: creates the CMDB's schema, or brings it up to date; with `--roles` also roles. */
export async function runInit(args: InitArguments, io: Io): Promise<number> {
  const { writerRole, readerRole } = args;
  if (!args.roles && (writerRole !== undefined || readerRole !== undefined)) {
    throw new UserError(ExitCode.usage, '--writer-role and --reader-role need --roles');
  }
  const location = locateCmdb(args, io);
  if (args.roles && location.kind === 'embedded') {
    throw new UserError(
      ExitCode.usage,
      '--roles is for a PostgreSQL of yours: nobody but its owner gets into an embedded CMDB',
    );
  }
  const names = { writer: writerRole ?? DEFAULT_WRITER, reader: readerRole ?? DEFAULT_READER };
  const { applied, roles } = await initCmdb(location, {
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    roles: args.roles ? names : undefined,
  });
  const schema =
    applied.length === 0
      ? "the CMDB's schema is up to date"
      : `the CMDB's schema is set up (applied: ${applied.map(String).join(', ')})`;
  const lines = roles === undefined ? [] : roleLines(roles, names.writer, names.reader);
  await write(io.stdout, [schema, ...lines, ''].join('\n'));
  return ExitCode.ok;
}

function roleLines({ created, notes }: RolesOutcome, writer: string, reader: string): string[] {
  const passwords =
    created.length === 0
      ? []
      : [`new, and without a password (\\password in psql sets one): ${created.join(', ')}`];
  return [`role ${writer} may write for agents, role ${reader} may read`, ...passwords, ...notes];
}
