import type pg from 'pg';
import pino from 'pino';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import { type CmdbConnection, connect, withTimeout } from './connection.ts';
import { type EmbeddedServer, findEmbedded, startEmbedded } from './embedded/server.ts';
import { describeError, sqlState } from './errors.ts';
import type { CmdbLocation } from './location.ts';
import { checkSchema, migrate } from './migrate.ts';
import { type RoleNames, type RolesOutcome, setUpRoles } from './roles.ts';
import { BEGIN_READING } from './statements/begin-reading.ts';

/** A connection for queries; {@link Reader.close} also ends a server started for it. */
export interface Reader {
  readonly client: pg.Client;
  close(): Promise<void>;
}

export interface ReaderOptions {
  readonly connectTimeoutMs?: number;
  /** Where notes about an embedded server go; silent by default. */
  readonly log?: pino.Logger;
}

/** Leaves a second of the six in which `ttctl` answers, and one for a slow machine. */
const CONNECT_TIMEOUT_MS = 4_000;
/** For the first queries of a connection that took nearly all the time there is. */
const MIN_CHECK_MS = 500;

interface Reachable {
  readonly config: pg.ClientConfig;
  readonly display: string;
  stop(): Promise<void>;
}

function unreachable(display: string, error: unknown): UserError {
  const state = sqlState(error);
  const hint =
    state === '3D000' ? '; create the database first (createdb)' : '; check --cmdb and the server';
  return new UserError(
    ExitCode.cmdbUnreachable,
    `CMDB unreachable at ${display}: ${describeError(error)}${hint}`,
    { cause: error },
  );
}

async function reach(
  location: CmdbLocation,
  embedded: (dataDir: string) => Promise<EmbeddedServer>,
): Promise<Reachable> {
  switch (location.kind) {
    case 'none':
      throw new UserError(
        ExitCode.usage,
        '--cmdb none has nothing to ask: use a postgres:// URL or embedded',
      );
    case 'server':
      return { ...location, stop: async () => {} };
    case 'embedded': {
      const { config, stop } = await embedded(location.dataDir);
      return { config, stop, display: `the embedded CMDB in ${location.dataDir}` };
    }
  }
}

async function withConnection<T>(
  { config, display, stop }: Reachable,
  timeoutMs: number,
  use: (connection: CmdbConnection) => Promise<T>,
): Promise<T> {
  try {
    const connection = await connect(config, { timeoutMs, applicationName: 'ttctl' }).catch(
      (error: unknown) => {
        throw unreachable(display, error);
      },
    );
    try {
      return await use(connection);
    } catch (error) {
      await connection.close();
      throw error instanceof UserError ? error : unreachable(display, error);
    }
  } catch (error) {
    await stop();
    throw error;
  }
}

async function prepareSession(client: pg.Client): Promise<void> {
  await client.query(BEGIN_READING);
  await checkSchema(client);
}

/**
 * Opens the CMDB for reading: read-only session in UTC, statements limited to 30 s. An embedded CMDB
 * that nobody runs is started for as long as the reader is open.
 * @throws UserError: cmdbUnreachable, after `connectTimeoutMs` at the latest; cmdbSchema when it is
 *   not initialised, older or newer; usage for `none`
 */
export async function openReader(
  location: CmdbLocation,
  options: ReaderOptions = {},
): Promise<Reader> {
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, log = pino({ enabled: false }) } = options;
  const target = await reach(location, (dataDir) => findEmbedded(dataDir, log));
  const startedMs = performance.now();
  return await withConnection(target, connectTimeoutMs, async (connection) => {
    const { client } = connection;
    const leftMs = Math.max(MIN_CHECK_MS, connectTimeoutMs - (performance.now() - startedMs));
    await withTimeout(prepareSession(client), leftMs, () =>
      connection.cut(new Error(`no answer within ${connectTimeoutMs / 1000} s`)),
    );
    const close = async () => {
      await connection.close();
      await target.stop();
    };
    return { client, close };
  });
}

export interface Initialised {
  /** Versions of the schema applied now; none when it was up to date. */
  readonly applied: readonly number[];
  readonly roles: RolesOutcome | undefined;
}

/**
 * `ttctl init`: creates the embedded CMDB if that is meant and there is none, and brings the schema up
 * to date; with names, also sets up the roles of agents and of those who ask.
 * @throws UserError as {@link openReader}, and when the schema or the roles may not be created
 */
export async function initCmdb(
  location: CmdbLocation,
  options: ReaderOptions & { readonly roles?: RoleNames | undefined } = {},
): Promise<Initialised> {
  const { roles: names } = options;
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, log = pino({ enabled: false }) } = options;
  const target = await reach(location, (dataDir) => startEmbedded({ dataDir, log }));
  return await withConnection(target, connectTimeoutMs, async (connection) => {
    const applied = await migrate(connection.client);
    const roles = names === undefined ? undefined : await setUpRoles(connection.client, names);
    await connection.close();
    await target.stop();
    return { applied, roles };
  });
}

/**
 * Runs upkeep, such as `ttctl prune`, over a connection that may write.
 * @throws UserError as {@link openReader}, and what `work` throws
 */
export async function maintainCmdb<T>(
  location: CmdbLocation,
  work: (client: pg.Client) => Promise<T>,
  options: ReaderOptions = {},
): Promise<T> {
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, log = pino({ enabled: false }) } = options;
  const target = await reach(location, (dataDir) => findEmbedded(dataDir, log));
  return await withConnection(target, connectTimeoutMs, async (connection) => {
    await checkSchema(connection.client);
    const result = await work(connection.client);
    await connection.close();
    await target.stop();
    return result;
  });
}
