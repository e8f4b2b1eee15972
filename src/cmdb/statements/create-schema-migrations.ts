/** The table that says which migrations a database has had. */
export const CREATE_SCHEMA_MIGRATIONS = `
CREATE TABLE IF NOT EXISTS schema_migrations (
  version    integer PRIMARY KEY,
  name       text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now(),
  breaking   boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE  schema_migrations IS 'Migrations this database has had.';
COMMENT ON COLUMN schema_migrations.version IS 'Number of the migration file.';
COMMENT ON COLUMN schema_migrations.name IS 'Name of the migration file.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied.';
COMMENT ON COLUMN schema_migrations.breaking IS 'Programs that do not know this version must keep away.'
`;
