import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { packageRoot } from '../../src/cmdb/package-root.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';

const SNAPSHOT = join(packageRoot(import.meta.url), 'test', 'db', 'schema.snapshot.txt');

/**
 * Facts of the catalogue that PostgreSQL 11 to 18 word alike. Left out: definitions of views, whose
 * wording changed, and NOT NULL constraints, which 18 lists and others don't.
 */
const FACTS = `
SELECT fact FROM (
SELECT format('%s %s%s%s', CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END, c.relname,
              coalesce(' partition by ' || pg_get_partkeydef(c.oid), ''),
              coalesce(' with ' || array_to_string(c.reloptions, ', '), '')) AS fact
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
UNION ALL
SELECT format('column %s.%s %s %s%s%s', c.relname, lpad(a.attnum::text, 2, '0'), a.attname,
              format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
              coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), ''))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0
UNION ALL
SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT format('index %s', pg_get_indexdef(i.indexrelid))
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT format('function %s returns %s%s%s', p.oid::regprocedure, p.prorettype::regtype,
              CASE WHEN p.prosecdef THEN ' as its owner, ' || array_to_string(p.proconfig, ', ') ELSE '' END, p.prosrc)
FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
) AS facts ORDER BY fact COLLATE "C"
`;

const UNCOMMENTED = `
SELECT c.relname AS name FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
  AND obj_description(c.oid, 'pg_class') IS NULL
UNION ALL
SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NULL
UNION ALL
SELECT p.oid::regprocedure::text FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
`;

describe('the schema', () => {
  let postgres: TestPostgres;
  let config: pg.ClientConfig;
  before(async () => {
    postgres = await startTestPostgres();
    config = await postgres.createDatabase();
  });
  after(() => postgres.stop());

  it('is the one in schema.snapshot.txt (UPDATE_SNAPSHOT=1 rewrites it)', async () => {
    const facts = await postgres.query<{ fact: string }>(config, FACTS);
    const text = `${facts.map(({ fact }) => fact).join('\n')}\n`;
    if (process.env['UPDATE_SNAPSHOT']) writeFileSync(SNAPSHOT, text);
    assert.equal(text, readFileSync(SNAPSHOT, 'utf8'));
  });

  it('has a comment on every table, view, column and function', async () => {
    assert.deepEqual(await postgres.query(config, UNCOMMENTED), []);
  });

  it('keeps last_seen of the hot table out of indexes, so that updates stay heap-only', async () => {
    const sql = "SELECT indexdef FROM pg_indexes WHERE tablename = 'flows'";
    const indexes = await postgres.query<{ indexdef: string }>(config, sql);
    assert.ok(indexes.length > 0);
    for (const { indexdef } of indexes) assert.doesNotMatch(indexdef, /last_seen/);
  });
});
