import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { migrationDirectory, readMigrations } from '../../../src/cmdb/migration-files.ts';
import { packageRoot } from '../../../src/cmdb/package-root.ts';

interface Source {
  readonly name: string;
  readonly sql: string;
}

function withoutComments(sql: string): string {
  return sql.replaceAll(/\/\*[\s\S]*?\*\//g, ' ').replaceAll(/--.*$/gm, ' ');
}

const root = packageRoot(import.meta.url);
const statementDirectory = join(root, 'src', 'cmdb', 'statements');
const statements: Source[] = readdirSync(statementDirectory).map((name) => ({
  name,
  sql: withoutComments(readFileSync(join(statementDirectory, name), 'utf8')),
}));
/** Questions: whatever in src/query or in the code around statements holds SQL text. */
const SQL_TEXT = /`[^`]*\b(?:SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b[^`]*`/g;
const questions: Source[] = ['src/query', 'src/cmdb'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith('statements'))
    .flatMap((name) => {
      const text = readFileSync(join(root, folder, name), 'utf8');
      const sql = (text.match(SQL_TEXT) ?? []).join(';\n');
      return sql === '' ? [] : [{ name: join(folder, name), sql: withoutComments(sql) }];
    }),
);
/** Run by hand on Citus; it speaks of views and catalogues, but must suit PostgreSQL 11 as well. */
const scripts: Source[] = readdirSync(migrationDirectory())
  .filter((name) => name.endsWith('.sql') && !/^\d{4}_/.test(name))
  .map((name) => ({
    name,
    sql: withoutComments(readFileSync(join(migrationDirectory(), name), 'utf8')),
  }));
const migrations: Source[] = readMigrations(migrationDirectory()).map(({ name, sql }) => ({
  name,
  sql: withoutComments(sql).replaceAll(/COMMENT ON [^;]*;/g, ' '),
}));

function assertNone(sources: readonly Source[], pattern: RegExp, why: string): void {
  const found = sources.filter(({ sql }) => pattern.test(sql)).map(({ name }) => name);
  assert.deepEqual(found, [], why);
}

describe('SQL that runs on PostgreSQL 11 to 18 and on Citus', () => {
  const all = [...statements, ...migrations, ...questions, ...scripts];

  it('is really read here', () => {
    assert.ok(statements.length >= 15);
    assert.ok(migrations.length >= 1);
    const read = questions.map(({ name }) => name);
    for (const file of ['halves.ts', 'seed-statements.ts', 'coverage.ts', 'resolver.ts']) {
      assert.ok(
        read.some((name) => name.endsWith(file)),
        file,
      );
    }
    assert.deepEqual(
      scripts.map(({ name }) => name),
      ['citus.sql'],
    );
  });

  it('uses nothing newer than PostgreSQL 11', () => {
    assertNone(all, /\bMERGE\s+INTO\b/i, 'MERGE came with 15; Citus refuses it');
    assertNone(all, /\bGENERATED\s+ALWAYS\s+AS\s*\(/i, 'generated columns came with 12');
    assertNone(all, /\bNULLS\s+NOT\s+DISTINCT\b/i, 'came with 15');
    assertNone(all, /\bAS\s+(NOT\s+)?MATERIALIZED\b/i, 'came with 12');
    assertNone(all, /\bgen_random_uuid\s*\(/i, 'core since 13');
    assertNone(all, /\b(any_value|date_bin|uuidv7|string_to_table)\s*\(/i, 'came after 11');
    assertNone(
      all,
      /\bJSON_(TABLE|VALUE|QUERY|EXISTS|ARRAYAGG|OBJECTAGG)\s*\(/i,
      'SQL/JSON of 16, 17',
    );
    assertNone(all, /\bjsonb_path_\w+\s*\(|\bIS\s+JSON\b/i, 'came with 12 and 16');
    assertNone(all, /\bFETCH\s+FIRST\b[^;]*\bWITH\s+TIES\b/i, 'came with 13');
    assertNone(all, /\bSEARCH\s+(BREADTH|DEPTH)\s+FIRST\b|\bCYCLE\s+\w+\s+SET\b/i, 'came with 14');
    assertNone(all, /\bRETURNING\s+(WITH\s*\(|OLD\.|NEW\.)/i, 'came with 18');
    assertNone(
      all,
      /\bLIKE\s+\w+\s+INCLUDING\s+COMPRESSION\b|\bCREATE\s+OR\s+REPLACE\s+TRIGGER\b/i,
      '14',
    );
    assertNone(all, /\bmultirange\b|\bCOMPRESSION\b/i, 'came with 14');
    assertNone(all, /\bSECURITY\s+INVOKER\b|security_invoker/i, 'views of 15');
  });

  it('uses nothing that Citus can not distribute', () => {
    assertNone(all, /\b(big|small)?serial\b|\bAS\s+IDENTITY\b|\bnextval\s*\(/i, 'sequences');
    assertNone(all, /\bWITH\s+RECURSIVE\b/i, 'recursion over distributed tables');
    // Two halves meet on edge_id, by which nothing is distributed: only in memory, in a FULL JOIN of
    // subqueries, or against a subquery that is grouped and so is computed first.
    assertNone(
      all,
      /\bflows\s+\w+\s+(LEFT|RIGHT)\s+(OUTER\s+)?JOIN\s+flows\b/i,
      'an outer join of both halves',
    );
    assertNone(all, /\bTRUNCATE\b|\bLOCK\s+TABLE\b/i, 'locks all shards');
    assertNone(all, /\bxmax\b|\bctid\b/i, 'system columns of distributed tables');
    assertNone(
      all,
      /\bDEFAULT\s+PARTITION\b|\bPARTITION\s+OF\b[^;]*\bDEFAULT\b/i,
      'default partition',
    );
    for (const { name, sql } of all) {
      const update = /\bDO\s+UPDATE\b([\s\S]*)/i.exec(sql)?.[1] ?? '';
      assert.doesNotMatch(update, /\b(now|clock_timestamp|random)\s*\(/i, name);
    }
  });

  it('upserts in key order, so that agents do not deadlock', () => {
    for (const { name, sql } of statements) {
      if (!/\bON\s+CONFLICT\b/i.test(sql) || /\bVALUES\b/i.test(sql)) continue;
      assert.match(sql, /\bORDER\s+BY\b[\s\S]*\bON\s+CONFLICT\b/i, name);
    }
  });

  it('keys every distributed table by host_id', () => {
    for (const { sql } of migrations) {
      for (const [, table = '', body = ''] of sql.matchAll(
        /CREATE TABLE (\w+) \(([\s\S]*?)\n\)/g,
      )) {
        assert.match(body, /host_id\s+uuid (NOT NULL|PRIMARY KEY)/, table);
        assert.match(body, /PRIMARY KEY \(host_id\b|host_id\s+uuid PRIMARY KEY/, table);
      }
    }
  });
});
