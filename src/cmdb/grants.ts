import type pg from 'pg';
import { SELECT_GRANTEES } from './statements/select-grantees.ts';
import { SELECT_RELATIONS } from './statements/select-relations.ts';

/** What a role is for: an agent, or somebody who asks. */
export type RoleKind = 'writer' | 'reader';

interface Relation {
  readonly name: string;
  readonly sql_name: string;
  readonly is_view: boolean;
  readonly by_host: boolean;
}

/**
 * An upsert reads what it compares with. Of these tables that is little, and the rest would tell a
 * stolen agent's password who talks to whom; of others writers may read all.
 */
const READ_BY_UPSERTS: Readonly<Record<string, readonly string[]>> = {
  flows: ['host_id', 'flow_id', 'found_by', 'first_seen', 'last_seen'],
  passive_nodes: ['host_id', 'node_id', 'first_seen', 'last_seen'],
};

/** What agents call; these do as the owner what an agent's role may not do itself. */
const FUNCTIONS = [
  'ensure_history_partition(date)',
  'prune_host(uuid, timestamptz)',
  'prune_host_history(uuid, date)',
];

async function loadRelations(client: pg.ClientBase): Promise<Relation[]> {
  return (await client.query<Relation>(SELECT_RELATIONS)).rows;
}

/** Those of the functions that the migrations so far have made. */
async function loadFunctions(client: pg.ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    'SELECT name FROM unnest($1::text[]) AS f (name) WHERE to_regprocedure(name) IS NOT NULL',
    [FUNCTIONS],
  );
  return rows.map(({ name }) => name);
}

function grantsOf(
  kind: RoleKind,
  relations: readonly Relation[],
  functions: readonly string[],
  role: string,
): string[] {
  if (kind === 'reader') return relations.map((it) => `GRANT SELECT ON ${it.sql_name} TO ${role}`);
  const tables = relations.flatMap(({ name, sql_name, is_view, by_host }) => {
    if (is_view) return [];
    if (!by_host) return [`GRANT SELECT ON ${sql_name} TO ${role}`];
    const columns = READ_BY_UPSERTS[name];
    const read = columns === undefined ? 'SELECT' : `SELECT (${columns.join(', ')})`;
    return [`GRANT INSERT, UPDATE, ${read} ON ${sql_name} TO ${role}`];
  });
  return [...tables, ...functions.map((name) => `GRANT EXECUTE ON FUNCTION ${name} TO ${role}`)];
}

/** Has functions act as their owner, looking for tables in the CMDB's schema and nowhere else. */
async function protectFunctions(
  client: pg.ClientBase,
  functions: readonly string[],
): Promise<void> {
  const { rows } = await client.query<{ schema_name: string }>(
    `SELECT relnamespace::regnamespace::text AS schema_name FROM pg_catalog.pg_class
     WHERE oid = 'flows'::regclass`,
  );
  for (const name of functions) {
    await client.query(
      `ALTER FUNCTION ${name} SECURITY DEFINER SET search_path = ${rows[0]?.schema_name}, pg_temp`,
    );
    await client.query(`REVOKE ALL ON FUNCTION ${name} FROM PUBLIC`);
  }
}

/**
 * After a migration: who was let in may use what is new. Adds rights, takes none away. Call it in the
 * migration's transaction, so that nobody meets a table without its rights.
 */
export async function extendGrants(client: pg.ClientBase): Promise<void> {
  const functions = await loadFunctions(client);
  await protectFunctions(client, functions);
  const { rows } = await client.query<{ kind: RoleKind; role: string }>(SELECT_GRANTEES);
  if (rows.length === 0) return;
  const relations = await loadRelations(client);
  for (const { kind, role } of rows) {
    for (const sql of grantsOf(kind, relations, functions, role)) await client.query(sql);
  }
}

/**
 * Gives a role exactly the rights of its kind on the CMDB's tables, views and functions.
 * @param role fit for SQL text
 */
export async function setGrants(
  client: pg.ClientBase,
  kind: RoleKind,
  role: string,
): Promise<void> {
  const functions = await loadFunctions(client);
  await protectFunctions(client, functions);
  const relations = await loadRelations(client);
  for (const { sql_name } of relations)
    await client.query(`REVOKE ALL ON ${sql_name} FROM ${role}`);
  for (const name of functions) await client.query(`REVOKE ALL ON FUNCTION ${name} FROM ${role}`);
  for (const sql of grantsOf(kind, relations, functions, role)) await client.query(sql);
}
