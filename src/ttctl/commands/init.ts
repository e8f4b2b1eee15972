import { initCmdb } from '../../cmdb/reader.ts';
import { ExitCode } from '../../common/exit-codes.ts';
import { type Io, write } from '../io.ts';
import { type CmdbArguments, cmdbOptions } from '../options.ts';
import { CONNECT_TIMEOUT_MS, locateCmdb } from '../session.ts';
import type { Argv } from '../yargs-types.ts';

export function initOptions(yargs: Argv): Argv<CmdbArguments> {
  return cmdbOptions(yargs);
}

/** `ttctl init`: creates the CMDB's schema, or brings it up to date. */
export async function runInit(args: CmdbArguments, io: Io): Promise<number> {
  const applied = await initCmdb(locateCmdb(args, io), { connectTimeoutMs: CONNECT_TIMEOUT_MS });
  const versions = applied.map(String).join(', ');
  await write(
    io.stdout,
    applied.length === 0
      ? "the CMDB's schema is up to date\n"
      : `the CMDB's schema is set up (applied: ${versions})\n`,
  );
  return ExitCode.ok;
}
