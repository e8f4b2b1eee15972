import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { packageRoot } from '../../src/cmdb/package-root.ts';
import { startTestPostgres, type TestPostgres, withClient } from '../support/postgres.ts';
import { Chain } from './chain.ts';
import { writeWorld } from './query-world.ts';

const SCRIPT = readFileSync(join(packageRoot(import.meta.url), 'sql', 'citus.sql'), 'utf8');

/** Tables without partitions, and what has to hold so that Citus can distribute them by host. */
const TABLES = `
SELECT c.relname::text AS name FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname <> 'schema_migrations' ORDER BY 1`;
const UNIQUE_WITHOUT_HOST = `
SELECT i.indexrelid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique AND c.relname <> 'schema_migrations'
  AND NOT EXISTS (SELECT 1 FROM pg_attribute a
    WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) AND a.attname = 'host_id')`;
const WITHOUT_PRIMARY_KEY = `
SELECT c.relname::text AS name FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT EXISTS (
  SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)`;
/** host_id must refer to host_id, in the same place of the key. */
const FOREIGN_KEYS_WITHOUT_HOST = `
SELECT k.conname::text AS name FROM pg_constraint k
WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace AND NOT EXISTS (
  SELECT 1 FROM generate_subscripts(k.conkey, 1) AS i
  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[i]
  JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[i]
  WHERE a.attname = 'host_id' AND b.attname = 'host_id')`;
const NOT_DISTRIBUTABLE = `
SELECT c.relname::text AS name FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND (c.relkind = 'S' OR EXISTS (
  SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal))`;

/**
 * Stands in for Citus, which no test machine has: refuses what Citus refuses of a table (not in a
 * set with its foreign keys' targets, views in the way) and notes what it was told.
 */
const STAND_IN = `
CREATE TABLE distributed (position int, name text, by_column text, with_table text);
CREATE FUNCTION create_distributed_table(table_name regclass, distribution_column text,
  colocate_with text DEFAULT 'default') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = table_name
    AND k.confrelid::regclass::text NOT IN (SELECT name FROM distributed)) THEN
    RAISE EXCEPTION 'referenced table of % must be distributed first', table_name;
  END IF;
  IF EXISTS (SELECT 1 FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = table_name AND r.ev_class <> table_name) THEN
    RAISE EXCEPTION 'a view depends on %', table_name;
  END IF;
  INSERT INTO distributed
  SELECT count(*), table_name::text, distribution_column, colocate_with FROM distributed;
END $$`;

/** Columns and comments: a view that is made of its definition is worded differently then. */
const VIEWS = `
SELECT c.relname::text AS name, a.attname::text AS column, format_type(a.atttypid, a.atttypmod) AS type,
  col_description(c.oid, a.attnum) AS comment, obj_description(c.oid, 'pg_class') AS view_comment
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace ORDER BY 1, a.attnum`;
const CONTENTS = `
SELECT (SELECT array_agg(e::text) FROM edges e) AS edges, (SELECT array_agg(h::text) FROM edge_history h) AS history,
  (SELECT array_agg(g::text ORDER BY g::text) FROM coverage_gaps g) AS gaps`;

let postgres: TestPostgres;
let config: pg.ClientConfig;
before(async () => {
  postgres = await startTestPostgres();
  config = await postgres.createDatabase();
  await writeWorld(config, [...new Chain(['app', 'db']).connect('app', 'db').hosts.values()]);
});
after(() => postgres?.stop());

const names = async (sql: string): Promise<string[]> =>
  (await postgres.query<{ name: string }>(config, sql)).map(({ name }) => name);

describe('what Citus asks of tables it distributes by host_id', () => {
  it('holds for every table, with its partitions', async () => {
    assert.ok((await names(TABLES)).length >= 8);
    assert.deepEqual(await names(WITHOUT_PRIMARY_KEY), []);
    assert.deepEqual(await names(UNIQUE_WITHOUT_HOST), []);
    assert.deepEqual(await names(FOREIGN_KEYS_WITHOUT_HOST), []);
    assert.deepEqual(await names(NOT_DISTRIBUTABLE), [], 'sequences and triggers');
  });
});

describe('sql/citus.sql', () => {
  it('says what is missing on a PostgreSQL without Citus, and changes nothing', async () => {
    const before = await postgres.query(config, VIEWS);
    await assert.rejects(
      withClient(config, (client) => client.query(SCRIPT)),
      /run CREATE EXTENSION citus first/,
    );
    assert.deepEqual(await postgres.query(config, VIEWS), before);
  });

  it('distributes every table by host_id, colocated with hosts, and puts the views back', async () => {
    const before = await postgres.query(config, VIEWS);
    const contents = await postgres.query(config, CONTENTS);
    const expected = await names(TABLES);
    await postgres.query(config, STAND_IN);
    await withClient(config, (client) => client.query(SCRIPT));
    const told = await postgres.query<{ name: string; by_column: string; with_table: string }>(
      config,
      'SELECT name, by_column, with_table FROM distributed ORDER BY position',
    );
    assert.deepEqual(told.map(({ name }) => name).sort(), expected);
    for (const { name, by_column, with_table } of told) {
      assert.deepEqual(
        [by_column, with_table],
        ['host_id', name === 'hosts' ? 'default' : 'hosts'],
        name,
      );
    }
    assert.deepEqual(await postgres.query(config, VIEWS), before);
    assert.deepEqual(await postgres.query(config, CONTENTS), contents);
  });
});
