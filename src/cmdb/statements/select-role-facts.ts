/** $1 name of a role: whether it is too mighty to be restricted, and what it lacks or has too much. */
export const SELECT_ROLE_FACTS = `
SELECT r.rolname::text AS name,
  r.rolsuper OR pg_has_role(r.oid, c.relowner, 'USAGE') AS is_owner,
  has_database_privilege(r.oid, current_database(), 'CONNECT') AS may_connect,
  has_database_privilege(r.oid, current_database(), 'TEMPORARY') AS may_stage,
  has_schema_privilege(r.oid, n.oid, 'USAGE') AS may_use,
  has_schema_privilege(r.oid, n.oid, 'CREATE') AS may_create,
  pg_has_role(n.nspowner, 'USAGE') AS we_own_schema,
  quote_ident(n.nspname) AS schema_name, quote_ident(current_database()) AS database_name
FROM pg_catalog.pg_roles r, pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE r.rolname = $1 AND c.oid = 'flows'::regclass
`;
