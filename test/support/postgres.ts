import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import pino from 'pino';
import { connect } from '../../src/cmdb/connection.ts';
import { type EmbeddedServer, startEmbedded } from '../../src/cmdb/embedded/server.ts';
import { migrate } from '../../src/cmdb/migrate.ts';

/** Directory of the PostgreSQL binaries the tests run on instead of the bundled ones. */
export const TEST_PG_BIN = process.env['TTRACER_TEST_PG_BIN'] || undefined;

export const silentLog = pino({ enabled: false });

const TEMPLATE = 'test_template';

/** A throw-away server; every database it gives is a fresh copy of the migrated schema. */
export interface TestPostgres {
  readonly version: string;
  /** Creates a database and says how to connect to it; `migrated: false` gives an empty one. */
  createDatabase(options?: { readonly migrated?: boolean }): Promise<pg.ClientConfig>;
  /** Runs one query on a connection of its own. */
  query<R extends pg.QueryResultRow>(
    config: pg.ClientConfig,
    sql: string,
    values?: readonly unknown[],
  ): Promise<R[]>;
  /** Ends the server and removes all it wrote. */
  stop(): Promise<void>;
}

/** A directory for one test that the server's account can pass through. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'transtracer-test-'));
  await chmod(directory, 0o755);
  return directory;
}

/** Starts an embedded server on a directory, with the binaries under test. */
export function startTestEmbedded(dataDir: string, log = silentLog): Promise<EmbeddedServer> {
  return startEmbedded({ dataDir, log, ...(TEST_PG_BIN ? { binDir: TEST_PG_BIN } : {}) });
}

/** The value of `--cmdb` for a database. */
export function urlOf({ host, port, user, database }: pg.ClientConfig): string {
  const parameters = { host: String(host), port: String(port), user: String(user) };
  return `postgres:///${database}?${new URLSearchParams(parameters)}`;
}

/** Runs `use` on a connection of its own. */
export async function withClient<T>(
  config: pg.ClientConfig,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const connection = await connect(config, { timeoutMs: 10_000, applicationName: 'test' });
  try {
    return await use(connection.client);
  } finally {
    await connection.close();
  }
}

async function changeSettings(
  dataDir: string,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const server = await startTestEmbedded(dataDir);
  try {
    await withClient(server.config, async (client) => {
      for (const [name, value] of Object.entries(settings)) {
        await client.query(`ALTER SYSTEM SET ${name} = '${value}'`);
      }
    });
  } finally {
    await server.stop();
  }
}

/**
 * Starts a throw-away server in a temporary directory. Stop it in `after`.
 * @param settings of the server, that take a start to hold
 */
export async function startTestPostgres(
  settings: Readonly<Record<string, string>> = {},
): Promise<TestPostgres> {
  const dataDir = await temporaryDirectory();
  if (Object.keys(settings).length > 0) await changeSettings(dataDir, settings);
  const server = await startTestEmbedded(dataDir);
  const create = async (name: string, template?: string): Promise<pg.ClientConfig> => {
    const source = template ? `TEMPLATE ${template}` : '';
    await withClient(server.config, (client) =>
      client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)} ${source}`),
    );
    return { ...server.config, database: name };
  };
  await withClient(await create(TEMPLATE), (client) => migrate(client));
  return {
    version: server.version,
    createDatabase: ({ migrated = true } = {}) =>
      create(`test_${randomUUID()}`, migrated ? TEMPLATE : undefined),
    query: <R extends pg.QueryResultRow>(
      config: pg.ClientConfig,
      sql: string,
      values: readonly unknown[] = [],
    ) => withClient(config, async (client) => (await client.query<R>(sql, [...values])).rows),
    stop: async () => {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
