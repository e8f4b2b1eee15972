-- Distributes the CMDB over a Citus cluster, by host. Run it once, as the owner, on the coordinator,
-- after `ttctl init` and before much has been written:
--
--   psql -d transtracer -c 'CREATE EXTENSION citus'
--   ttctl init --cmdb URL
--   psql -d transtracer -v ON_ERROR_STOP=1 -1 -f sql/citus.sql
--   ttctl init --cmdb URL --roles        # if you use roles: views are made anew here
--
-- All tables are colocated, so a flush, and a question about one host, touches one shard.
-- schema_migrations stays on the coordinator, where agents and ttctl connect.

DO $$
DECLARE
  views       text[] := '{}';
  definitions text[] := '{}';
  comments    text[] := '{}';
  v record;
  t record;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_proc WHERE proname = 'create_distributed_table') THEN
    RAISE EXCEPTION 'create_distributed_table is not there: run CREATE EXTENSION citus first';
  END IF;

  -- Views are in the way of distribution. Later ones may use earlier ones, so newest first.
  FOR v IN
    SELECT c.oid, c.oid::regclass::text AS name, pg_get_viewdef(c.oid) AS definition
    FROM pg_catalog.pg_class c
    WHERE c.relkind = 'v' AND c.relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = 'flows'::regclass)
      AND c.relowner = (SELECT relowner FROM pg_catalog.pg_class WHERE oid = 'flows'::regclass)
    ORDER BY c.oid DESC
  LOOP
    views := v.name || views;
    definitions := v.definition || definitions;
    comments := comments || ARRAY(
      SELECT CASE d.objsubid
        WHEN 0 THEN format('COMMENT ON VIEW %s IS %L', v.name, d.description)
        ELSE format('COMMENT ON COLUMN %s.%I IS %L', v.name, a.attname, d.description) END
      FROM pg_catalog.pg_description d
      LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid
      WHERE d.objoid = v.oid AND d.classoid = 'pg_class'::regclass);
    EXECUTE format('DROP VIEW %s', v.name);
  END LOOP;

  -- hosts first: what refers to a table follows it. Then every table that agents write.
  PERFORM create_distributed_table('hosts'::regclass, 'host_id');
  PERFORM create_distributed_table('processes'::regclass, 'host_id', colocate_with => 'hosts');
  FOR t IN
    SELECT c.oid::regclass AS name
    FROM pg_catalog.pg_class c
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = 'flows'::regclass)
      AND c.oid NOT IN ('hosts'::regclass, 'processes'::regclass)
      AND EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'host_id')
    ORDER BY c.relname
  LOOP
    PERFORM create_distributed_table(t.name, 'host_id', colocate_with => 'hosts');
  END LOOP;

  FOR i IN 1 .. coalesce(array_length(views, 1), 0) LOOP
    EXECUTE format('CREATE VIEW %s AS %s', views[i], definitions[i]);
  END LOOP;
  FOR i IN 1 .. coalesce(array_length(comments, 1), 0) LOOP
    EXECUTE comments[i];
  END LOOP;
END $$;
