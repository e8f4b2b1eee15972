/**
 * Partitions of the history: `relname` is `flow_history_YYYYMMDD` or `flow_days_YYYYMMDD`, `table_name`
 * fit for SQL text.
 */
export const SELECT_HISTORY_PARTITIONS = `
SELECT c.relname, i.inhrelid::regclass::text AS table_name
FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('flow_history'::regclass, 'flow_days'::regclass)
ORDER BY right(c.relname, 8), c.relname DESC
`;
