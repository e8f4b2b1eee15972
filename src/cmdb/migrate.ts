import type pg from 'pg';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import { describeError, sqlState } from './errors.ts';
import { extendGrants } from './grants.ts';
import { type Migration, migrationDirectory, readMigrations } from './migration-files.ts';
import { CREATE_SCHEMA_MIGRATIONS } from './statements/create-schema-migrations.ts';
import { INSERT_SCHEMA_MIGRATION } from './statements/insert-schema-migration.ts';
import { LOCK_SCHEMA } from './statements/lock-schema.ts';
import { SELECT_SCHEMA_MIGRATIONS } from './statements/select-schema-migrations.ts';

interface AppliedMigration {
  readonly version: number;
  readonly name: string;
  readonly breaking: boolean;
}

const UNDEFINED_TABLE = '42P01';
const INSUFFICIENT_PRIVILEGE = '42501';

function schemaError(message: string, cause?: unknown): UserError {
  return new UserError(
    ExitCode.cmdbSchema,
    message,
    ...(cause === undefined ? [] : [{ cause } satisfies ErrorOptions]),
  );
}

/** Migrations the database has had, null when it was never initialised. */
async function readApplied(client: pg.ClientBase): Promise<AppliedMigration[] | null> {
  try {
    return (await client.query<AppliedMigration>(SELECT_SCHEMA_MIGRATIONS)).rows;
  } catch (error) {
    if (sqlState(error) === UNDEFINED_TABLE) return null;
    throw error;
  }
}

/** A newer schema is fine as long as none of its newer steps says that old programs break. */
function refuseNewer(applied: readonly AppliedMigration[], known: readonly Migration[]): void {
  const newest = known.at(-1)?.version ?? 0;
  const unknown = applied.find(({ version, breaking }) => breaking && version > newest);
  if (unknown) {
    throw schemaError(
      `the CMDB's schema is at version ${unknown.version} (${unknown.name}), this program knows ` +
        `${newest}: upgrade transtracer on this host`,
    );
  }
}

function missingFrom(
  applied: readonly AppliedMigration[],
  known: readonly Migration[],
): Migration[] {
  const have = new Set(applied.map(({ version }) => version));
  return known.filter(({ version }) => !have.has(version));
}

/**
 * Checks that readers can work with this database.
 * @throws UserError (cmdbSchema) when it is not initialised, older, or newer and incompatible
 */
export async function checkSchema(
  client: pg.ClientBase,
  known: readonly Migration[] = readMigrations(migrationDirectory()),
): Promise<void> {
  const applied = await readApplied(client);
  if (applied === null || applied.length === 0) {
    throw schemaError('the CMDB is not initialised: run ttctl init, or start ttracerd on it');
  }
  refuseNewer(applied, known);
  const [missing] = missingFrom(applied, known);
  if (missing) {
    throw schemaError(
      `the CMDB's schema lacks version ${missing.version} (${missing.name}): run ttctl init to ` +
        'bring it up to date',
    );
  }
}

/** Applies one migration in a transaction of its own, unless another program has done so. */
async function applyMigration(client: pg.ClientBase, migration: Migration): Promise<boolean> {
  await client.query('BEGIN');
  try {
    await client.query(LOCK_SCHEMA);
    await client.query('SET LOCAL client_min_messages = warning');
    await client.query(CREATE_SCHEMA_MIGRATIONS);
    const applied = (await client.query<AppliedMigration>(SELECT_SCHEMA_MIGRATIONS)).rows;
    const isNew = applied.every(({ version }) => version !== migration.version);
    if (isNew) {
      await client.query(migration.sql);
      const { version, name, breaking } = migration;
      await client.query(INSERT_SCHEMA_MIGRATION, [version, name, breaking]);
      await extendGrants(client);
    }
    await client.query('COMMIT');
    return isNew;
  } catch (error) {
    await rollback(client, error);
    throw error;
  }
}

async function rollback(client: pg.ClientBase, reason: unknown): Promise<void> {
  try {
    await client.query('ROLLBACK');
  } catch (error) {
    throw new AggregateError([reason, error], describeError(reason), { cause: reason });
  }
}

async function refuseOtherEncodings(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ server_encoding: string }>('SHOW server_encoding');
  const encoding = rows[0]?.server_encoding;
  if (encoding !== 'UTF8') {
    throw schemaError(
      `the CMDB's database is encoded in ${encoding}: create it with ENCODING 'UTF8' TEMPLATE template0`,
    );
  }
}

/**
 * Brings the database to the schema this program knows: forward only, each migration in its own
 * transaction, safe when many agents start at once. An up-to-date database is only read.
 * @returns the versions applied by this call
 * @throws UserError (cmdbSchema) when the schema is newer and incompatible, or may not be created
 */
export async function migrate(
  client: pg.ClientBase,
  known: readonly Migration[] = readMigrations(migrationDirectory()),
): Promise<number[]> {
  const applied = (await readApplied(client)) ?? [];
  refuseNewer(applied, known);
  const missing = missingFrom(applied, known);
  if (missing.length === 0) return [];
  await refuseOtherEncodings(client);
  const done: number[] = [];
  try {
    for (const migration of missing) {
      if (await applyMigration(client, migration)) done.push(migration.version);
    }
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw schemaError(
      `may not create the CMDB's schema (${describeError(error)}): run ttctl init as the owner of the database`,
      error,
    );
  }
  return done;
}
