import type { ClientBase } from 'pg';
import { describeError, sqlState } from '../cmdb/errors.ts';
import { type CmdbLocation, resolveCmdb } from '../cmdb/location.ts';
import { openReader } from '../cmdb/reader.ts';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import type { Io } from './io.ts';
import type { CmdbArguments } from './options.ts';

/** `ttctl` answers within 6 s even when the CMDB's host swallows packets. */
export const CONNECT_TIMEOUT_MS = 4_000;

/** Directory of the embedded CMDB and of the agent's lock, if any was named. */
export function dataDirOf(args: CmdbArguments, io: Io): string | undefined {
  return args.dataDir ?? (io.env['TTRACER_DATA_DIR'] || undefined);
}

/** Where the CMDB of this call is: argument, then environment, then default. */
export function locateCmdb(args: CmdbArguments, io: Io): CmdbLocation {
  return resolveCmdb({ cmdb: args.cmdb, dataDir: dataDirOf(args, io), env: io.env });
}

/**
 * Runs a question over a connection of its own.
 * @throws UserError as `openReader`, and (cmdbUnreachable) when the server fails in mid-question
 */
export async function withReader<T>(
  args: CmdbArguments,
  io: Io,
  ask: (client: ClientBase) => Promise<T>,
): Promise<T> {
  const reader = await openReader(locateCmdb(args, io), { connectTimeoutMs: CONNECT_TIMEOUT_MS });
  try {
    return await ask(reader.client);
  } catch (error) {
    const state = sqlState(error);
    if (state === undefined) throw error;
    const message = `the CMDB did not answer: ${describeError(error)} (SQLSTATE ${state})`;
    throw new UserError(ExitCode.cmdbUnreachable, message, { cause: error });
  } finally {
    await reader.close();
  }
}
