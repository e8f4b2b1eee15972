import pg from 'pg';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { type CmdbConnection, connect } from '../connection.ts';
import { describeError, sqlState } from '../errors.ts';
import { DATABASE, type EmbeddedLayout, PORT, ROLE } from './layout.ts';

const CANNOT_CONNECT_NOW = '57P03';
const ADMIN_SHUTDOWN = '57P01';
const DUPLICATE_DATABASE = '42P04';
const UNIQUE_VIOLATION = '23505';
const PROBE_TIMEOUT_MS = 5_000;

/**
 * How to connect to a database of the embedded server. `pg` fills what is missing from PG*
 * variables, and those mean another server; hence also the options, which change nothing.
 */
export function embeddedConfig(layout: EmbeddedLayout, database = DATABASE): pg.ClientConfig {
  return {
    host: layout.socketDir,
    port: PORT,
    user: ROLE,
    database,
    ssl: false,
    options: '-c jit=off',
  };
}

function refusal(error: unknown, layout: EmbeddedLayout): UserError | undefined {
  const state = sqlState(error);
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (!state?.startsWith('28') && code !== 'EACCES' && code !== 'EPERM') return undefined;
  return new UserError(
    ExitCode.cmdbUnreachable,
    `the embedded CMDB in ${layout.dataDir} doesn't let this user in: run as root, or as the user who started it`,
    { cause: error },
  );
}

function isNotReady(error: unknown): boolean {
  const state = sqlState(error);
  if (state === CANNOT_CONNECT_NOW || state === ADMIN_SHUTDOWN) return true;
  // No socket yet, nobody behind it, or it closed on us: the server starts or stops.
  return state === undefined;
}

/**
 * Asks the server whether it is ready, and makes our database if it is new.
 * @returns the server's version, undefined when it is starting or stopping
 * @throws UserError (cmdbUnreachable) when it doesn't let this user in
 */
export async function probeServer(layout: EmbeddedLayout): Promise<string | undefined> {
  let connection: CmdbConnection;
  try {
    connection = await connect(embeddedConfig(layout, 'postgres'), {
      timeoutMs: PROBE_TIMEOUT_MS,
      applicationName: 'transtracer',
    });
  } catch (error) {
    const refused = refusal(error, layout);
    if (refused) throw refused;
    if (isNotReady(error)) return undefined;
    throw new UserError(
      ExitCode.cmdbUnreachable,
      `the embedded CMDB in ${layout.dataDir} refuses: ${describeError(error)}`,
      { cause: error },
    );
  }
  try {
    await ensureDatabase(connection.client);
    const { rows } = await connection.client.query<{ version: string }>(
      "SELECT current_setting('server_version') AS version",
    );
    return rows[0]?.version;
  } catch (error) {
    if (isNotReady(error)) return undefined;
    throw error;
  } finally {
    await connection.close();
  }
}

async function ensureDatabase(client: pg.ClientBase): Promise<void> {
  const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
  if (found.rowCount) return;
  try {
    await client.query(`CREATE DATABASE ${pg.escapeIdentifier(DATABASE)}`);
  } catch (error) {
    // Somebody who started at the same time made it.
    const state = sqlState(error);
    if (state !== DUPLICATE_DATABASE && state !== UNIQUE_VIOLATION) throw error;
  }
}
