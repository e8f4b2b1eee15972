import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { sqlState } from '../../src/cmdb/errors.ts';
import { migrate } from '../../src/cmdb/migrate.ts';
import { migrationDirectory, readMigrations } from '../../src/cmdb/migration-files.ts';
import { setUpRoles } from '../../src/cmdb/roles.ts';
import { ExitCode, UserError } from '../../src/common/exit-codes.ts';
import { ttctl } from '../support/commands.ts';
import { startTestPostgres, type TestPostgres, urlOf, withClient } from '../support/postgres.ts';
import { Chain } from './chain.ts';
import { at, writeWorld } from './query-world.ts';

const DENIED = '42501';
/** By names that have to be quoted. */
const NAMES = { writer: 'test "writer"', reader: 'Test Reader' };
const RANGE = ['--since', at(-30).toISOString(), '--until', at(30).toISOString()];

let postgres: TestPostgres;
let config: pg.ClientConfig;
before(async () => {
  postgres = await startTestPostgres();
  config = await postgres.createDatabase();
  // As it is before PostgreSQL 15.
  await postgres.query(config, 'GRANT CREATE ON SCHEMA public TO PUBLIC');
  await withClient(config, (client) => setUpRoles(client, NAMES));
});
after(() => postgres?.stop());

/** A connection that has become a role when it begins, and can't become another by itself. */
function as(role: string, database = config): pg.ClientConfig {
  const escaped = role.replaceAll(/[\\ ]/g, (character) => `\\${character}`);
  return { ...database, options: `-c jit=off -c role=${escaped}` };
}

async function denied(role: string, statements: readonly string[]): Promise<void> {
  for (const sql of statements) {
    await assert.rejects(
      withClient(as(role), (client) => client.query(sql)),
      (error) => {
        assert.equal(sqlState(error), DENIED, `${sql}: ${String(error)}`);
        return true;
      },
      sql,
    );
  }
}

async function tables(): Promise<string[]> {
  const rows = await postgres.query<{ name: string }>(
    config,
    `SELECT c.oid::regclass::text AS name FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')`,
  );
  return rows.map(({ name }) => name);
}

describe('the role for agents', () => {
  it('is enough for all that an agent writes, twice', async () => {
    const chain = new Chain(['app', 'db']).connect('app', 'db');
    const hosts = [...chain.hosts.values()];
    for (const [index, host] of hosts.entries()) {
      host.process(`p-${index}`, { containerId: `c-${index}` });
    }
    await writeWorld(as(NAMES.writer), hosts);
    await writeWorld(as(NAMES.writer), hosts, 2);
    const [row] = await postgres.query<{ halves: number; buckets: number; owner: boolean }>(
      config,
      `SELECT (SELECT count(*)::int FROM flows) AS halves,
              (SELECT count(*)::int FROM flow_history) AS buckets,
              (SELECT bool_and(p.relowner = c.relowner) FROM pg_inherits i
               JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
               WHERE p.relname = 'flow_history') AS owner`,
    );
    assert.deepEqual(row, { halves: 2, buckets: 4, owner: true });
  });

  it('can neither delete nor drop, nor make or change tables', async () => {
    const all = await tables();
    assert.ok(all.some((name) => name.startsWith('flow_history_')));
    await denied(NAMES.writer, [
      ...all.flatMap((name) => [
        `DELETE FROM ${name}`,
        `TRUNCATE ${name}`,
        `DROP TABLE ${name}`,
        `ALTER TABLE ${name} ADD COLUMN x int`,
      ]),
      'CREATE TABLE x (y int)',
      'CREATE SCHEMA x',
      'DROP VIEW active_nodes',
      'DROP FUNCTION ensure_history_partition(date)',
      'UPDATE schema_migrations SET breaking = true',
      "INSERT INTO schema_migrations (version, name) VALUES (999, 'x')",
    ]);
  });

  it('can not read who talks to whom', async () => {
    await denied(NAMES.writer, [
      'SELECT * FROM flows',
      'SELECT passive_address FROM flows',
      'SELECT process_id FROM flows',
      'SELECT address, port FROM passive_nodes',
      'SELECT * FROM active_nodes',
      'UPDATE flows SET last_seen = last_seen RETURNING passive_port',
    ]);
  });

  it('can not have the functions look elsewhere', async () => {
    // Whoever could lay a table of his own before ours would have the owner work on it.
    await withClient(as(NAMES.writer), async (client) => {
      await client.query('CREATE TEMP TABLE flow_history (bucket timestamptz) ');
      await client.query('CREATE TEMP TABLE flows (host_id uuid, last_seen timestamptz)');
      await client.query('SET search_path = pg_temp, public');
      await client.query("SELECT public.ensure_history_partition('2031-05-05')");
    });
    const made = "SELECT to_regclass('public.flow_history_20310505') IS NOT NULL AS made";
    assert.deepEqual(await postgres.query(config, made), [{ made: true }]);
  });

  it('does not migrate, but says in one line who can', async () => {
    const known = readMigrations(migrationDirectory());
    const next = {
      version: known.length + 1,
      name: 'next',
      breaking: false,
      sql: 'CREATE TABLE x ()',
    };
    await withClient(as(NAMES.writer), async (client) => {
      assert.deepEqual(await migrate(client), []);
      await assert.rejects(migrate(client, [...known, next]), (error: unknown) => {
        assert.ok(error instanceof UserError, String(error));
        assert.equal(error.exitCode, ExitCode.cmdbSchema);
        assert.match(error.message, /^may not create .*run ttctl init as the owner.*$/);
        return true;
      });
    });
  });
});

describe('the role for those who ask', () => {
  it('is enough for every question', async () => {
    const url = ['--cmdb', urlOf(as(NAMES.reader))];
    const env = { PGOPTIONS: String(as(NAMES.reader).options) };
    const questions = [
      ...[
        ['deps', ':80'],
        ['impact', ':80'],
        ['path', 'process:app', 'process:db'],
      ],
      ...[['retire', 'process:app'], ['flows'], ['hosts'], ['listeners'], ['coverage']],
    ];
    for (const question of questions) {
      const { code, stderr } = await ttctl([...question, ...RANGE, ...url], { env });
      assert.deepEqual([question, code === 0 || code === 1, stderr], [question, true, '']);
    }
    const ranges = ['--before', '2025-05-01..2025-06-01', '--after', '2025-06-01..2025-06-02'];
    assert.equal((await ttctl(['diff', ...ranges, ...url], { env })).code, ExitCode.ok);
    assert.equal((await ttctl(['watch', '--for', '1s', ...url], { env })).code, ExitCode.ok);
    const prune = await ttctl(['prune', '--older-than', '30d', ...url], { env });
    assert.equal(prune.code, ExitCode.unsupported);
    assert.match(prune.stderr, /^ttctl: may not .*\n$/);
  });

  it('can not write', async () => {
    await denied(NAMES.reader, [
      ...(await tables()).flatMap((name) => [
        `INSERT INTO ${name} DEFAULT VALUES`,
        `DELETE FROM ${name}`,
        `TRUNCATE ${name}`,
        `DROP TABLE ${name}`,
        `SELECT * FROM ${name} FOR UPDATE`,
      ]),
      'UPDATE flows SET last_seen = last_seen',
      'CREATE TABLE x (y int)',
      "SELECT ensure_history_partition('2031-05-06')",
      "SELECT prune_host('00000000-0000-0000-0000-000000000000', '2020-01-01')",
      "SELECT prune_host_history('00000000-0000-0000-0000-000000000000', '2020-01-01')",
    ]);
  });
});

describe('ttctl init --roles', () => {
  const init = (database: pg.ClientConfig, ...argv: string[]) =>
    ttctl(['init', '--cmdb', urlOf(database), ...argv]);

  it('makes both roles without passwords, once', async () => {
    const database = await postgres.createDatabase({ migrated: false });
    const first = await init(database, '--roles');
    assert.deepEqual([first.code, first.stderr], [ExitCode.ok, '']);
    assert.match(first.stdout, /set up .*\nrole transtracer_writer may write.*\nnew, .*_writer, /);
    const roles = `SELECT rolname, rolcanlogin, rolsuper, rolpassword IS NULL AS open FROM pg_authid
      WHERE rolname LIKE 'transtracer@_%' ESCAPE '@' ORDER BY rolname`;
    const facts = { rolcanlogin: true, rolsuper: false, open: true };
    assert.deepEqual(await postgres.query(database, roles), [
      { rolname: 'transtracer_reader', ...facts },
      { rolname: 'transtracer_writer', ...facts },
    ]);
    await postgres.query(database, "ALTER ROLE transtracer_writer NOLOGIN PASSWORD 'x'");
    const acl =
      'SELECT relname, relacl::text, (SELECT array_agg(attacl::text) FROM pg_attribute WHERE attrelid = c.oid) AS columns FROM pg_class c ORDER BY oid';
    const before = await postgres.query(database, acl);
    const again = await init(database, '--roles');
    assert.match(again.stdout, /^the CMDB's schema is up to date\nrole .* may read\n$/);
    assert.deepEqual(await postgres.query(database, acl), before);
    const [writer] = (await postgres.query(database, roles)).slice(1);
    assert.deepEqual(writer, {
      rolname: 'transtracer_writer',
      ...facts,
      rolcanlogin: false,
      open: false,
    });
  });

  it('takes back what a role should not have', async () => {
    await postgres.query(config, 'GRANT ALL ON flows, hosts TO "Test Reader"');
    const names = ['--writer-role', NAMES.writer, '--reader-role', NAMES.reader];
    assert.equal((await init(config, '--roles', ...names)).code, ExitCode.ok);
    await denied(NAMES.reader, ['DELETE FROM flows', 'UPDATE hosts SET name = name']);
  });

  it('refuses roles that could not be kept from anything', async () => {
    const owner = await init(config, '--roles', '--writer-role', String(config.user));
    assert.equal(owner.code, ExitCode.usage);
    assert.match(owner.stderr, /superuser or owns the CMDB/);
    const same = await init(config, '--roles', '--writer-role', 'x', '--reader-role', 'x');
    assert.equal(same.code, ExitCode.usage);
    const without = await init(config, '--writer-role', 'x');
    assert.equal(without.code, ExitCode.usage);
    const reserved = await init(config, '--roles', '--writer-role', 'pg_nobody');
    assert.equal(reserved.code, ExitCode.usage);
    const none = `SELECT 1 FROM pg_roles WHERE rolname IN ('x', 'pg_nobody')`;
    assert.deepEqual(await postgres.query(config, none), []);
  });

  it('says so when this role may not, and makes nothing', async () => {
    await assert.rejects(
      withClient(as(NAMES.writer), (client) =>
        setUpRoles(client, { writer: 'half_made', reader: 'half_read' }),
      ),
      (error) => error instanceof UserError && error.exitCode === ExitCode.unsupported,
    );
    assert.deepEqual(
      await postgres.query(config, "SELECT 1 FROM pg_roles WHERE rolname = 'half_made'"),
      [],
    );
  });
});

describe('a later migration', () => {
  it('gives what it makes to both roles, and rewritten functions their protection', async () => {
    const database = await postgres.createDatabase();
    await withClient(database, (client) => setUpRoles(client, NAMES));
    const known = readMigrations(migrationDirectory());
    const next = {
      version: known.length + 1,
      name: 'next',
      breaking: false,
      sql: `CREATE TABLE later (host_id uuid PRIMARY KEY, x int);
        CREATE VIEW later_view AS SELECT x FROM later;
        CREATE OR REPLACE FUNCTION ensure_history_partition(day date) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN EXECUTE format('CREATE TABLE made_%s ()', to_char(day, 'YYYYMMDD')); END $$`,
    };
    await withClient(database, (client) => migrate(client, [...known, next]));
    await withClient(as(NAMES.writer, database), async (client) => {
      await client.query(
        `INSERT INTO later VALUES ('00000000-0000-0000-0000-000000000000', 1)
         ON CONFLICT (host_id) DO UPDATE SET x = EXCLUDED.x`,
      );
      await client.query("SELECT ensure_history_partition('2031-01-01')");
      await assert.rejects(client.query('DELETE FROM later'), /permission denied/);
    });
    await withClient(as(NAMES.reader, database), async (client) => {
      assert.deepEqual((await client.query('SELECT x FROM later_view')).rows, [{ x: 1 }]);
      await assert.rejects(
        client.query('INSERT INTO later SELECT * FROM later'),
        /permission denied/,
      );
    });
  });
});
