/**
 * Tables and views of the CMDB without partitions, with names fit for SQL text; `by_host` says
 * whether agents write it.
 */
export const SELECT_RELATIONS = `
SELECT c.relname AS name, c.oid::regclass::text AS sql_name, c.relkind = 'v' AS is_view,
  EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'host_id')
    AND c.relkind <> 'v' AS by_host
FROM pg_catalog.pg_class c
WHERE c.relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = 'flows'::regclass)
  AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
  AND c.relowner = (SELECT relowner FROM pg_catalog.pg_class WHERE oid = 'flows'::regclass)
ORDER BY c.relname
`;
