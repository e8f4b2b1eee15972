/**
 * Roles other than owners that were let in: writers may call `ensure_history_partition`, readers may
 * read all of `flows`. Names are fit for SQL text.
 */
export const SELECT_GRANTEES = `
SELECT 'writer' AS kind, a.grantee::regrole::text AS role
FROM pg_catalog.pg_proc p, aclexplode(p.proacl) a
WHERE p.oid = 'ensure_history_partition(date)'::regprocedure
  AND a.privilege_type = 'EXECUTE' AND a.grantee NOT IN (0, p.proowner)
UNION
SELECT 'reader', a.grantee::regrole::text
FROM pg_catalog.pg_class c, aclexplode(c.relacl) a
WHERE c.oid = 'flows'::regclass AND a.privilege_type = 'SELECT' AND a.grantee NOT IN (0, c.relowner)
ORDER BY kind DESC, role
`;
