import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { checkSchema, migrate } from '../../src/cmdb/migrate.ts';
import { migrationDirectory, readMigrations } from '../../src/cmdb/migration-files.ts';
import { ExitCode, UserError } from '../../src/common/exit-codes.ts';
import { startTestPostgres, type TestPostgres, withClient } from '../support/postgres.ts';

const known = readMigrations(migrationDirectory());
const versions = known.map(({ version }) => version);

function isSchemaError(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof UserError, String(error));
    assert.equal(error.exitCode, ExitCode.cmdbSchema);
    assert.match(error.message, pattern);
    return true;
  };
}

describe('migrations', () => {
  let postgres: TestPostgres;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(() => postgres.stop());

  const inDatabase = async <T>(migrated: boolean, use: (client: pg.Client) => Promise<T>) =>
    withClient(await postgres.createDatabase({ migrated }), use);

  it('are applied once', async () => {
    await inDatabase(false, async (client) => {
      assert.deepEqual(await migrate(client), versions);
      assert.deepEqual(await migrate(client), []);
      await checkSchema(client);
    });
  });

  it('are applied once by 50 agents that start at the same time', async () => {
    const crowded = await startTestPostgres({ max_connections: '60' });
    try {
      const config = await crowded.createDatabase({ migrated: false });
      // All are connected before any begins.
      const clients = Array.from({ length: 50 }, () => new pg.Client(config));
      await Promise.all(clients.map((client) => client.connect()));
      const applied = await Promise.all(clients.map((client) => migrate(client)));
      await Promise.all(clients.map((client) => client.end()));
      assert.deepEqual(
        applied.flat().sort((a, b) => a - b),
        versions,
      );
      await withClient(config, (client) => checkSchema(client));
    } finally {
      await crowded.stop();
    }
  });

  it('leave nothing of one that fails', async () => {
    const next = versions.length + 1;
    const bad = {
      version: next,
      name: 'bad',
      breaking: false,
      sql: 'CREATE TABLE half_done (x int); SELECT 1/0',
    };
    await inDatabase(true, async (client) => {
      await assert.rejects(migrate(client, [...known, bad]), /division by zero/);
      const { rows } = await client.query("SELECT to_regclass('half_done') AS found");
      assert.equal(rows[0]?.found, null);
      const good = { ...bad, sql: 'CREATE TABLE half_done (x int)' };
      assert.deepEqual(await migrate(client, [...known, good]), [next]);
    });
  });

  it('refuse a newer schema only when it is marked breaking', async () => {
    const next = versions.length + 1;
    const newer = { version: next, name: 'newer', breaking: false, sql: 'SELECT 1' };
    await inDatabase(true, async (client) => {
      await migrate(client, [...known, newer]);
      assert.deepEqual(await migrate(client), []);
      await checkSchema(client);
      const breaking = { ...newer, version: next + 1, breaking: true };
      await migrate(client, [...known, newer, breaking]);
      const expected = isSchemaError(new RegExp(`version ${next + 1} \\(newer\\).*upgrade`));
      await assert.rejects(migrate(client), expected);
      await assert.rejects(checkSchema(client), expected);
    });
  });

  it('say that a database is not initialised, or older', async () => {
    await inDatabase(false, async (client) => {
      await assert.rejects(checkSchema(client), isSchemaError(/not initialised: run ttctl init/));
    });
    const next = { version: versions.length + 1, name: 'next', breaking: false, sql: 'SELECT 1' };
    await inDatabase(true, async (client) => {
      await assert.rejects(checkSchema(client, [...known, next]), isSchemaError(/lacks version/));
    });
  });

  it('need a role that may create tables only when there are some to create', async () => {
    const empty = await postgres.createDatabase({ migrated: false });
    const ready = await postgres.createDatabase();
    for (const config of [empty, ready]) {
      const sql = `
        DO $$ BEGIN CREATE ROLE agent; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        GRANT USAGE ON SCHEMA public TO agent;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO agent`;
      await withClient(config, (client) => client.query(sql));
    }
    await withClient(ready, async (client) => {
      await client.query('SET ROLE agent');
      assert.deepEqual(await migrate(client), []);
    });
    await withClient(empty, async (client) => {
      await client.query('SET ROLE agent');
      await assert.rejects(migrate(client), isSchemaError(/run ttctl init as the owner/));
    });
  });

  it('refuse a database that can not hold every string', async () => {
    const config = await postgres.createDatabase({ migrated: false });
    const sql =
      "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    await withClient(config, (client) => client.query(sql));
    await withClient({ ...config, database: 'latin' }, async (client) => {
      await assert.rejects(migrate(client), isSchemaError(/encoded in LATIN1/));
    });
  });
});
