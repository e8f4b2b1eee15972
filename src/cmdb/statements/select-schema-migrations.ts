/** Migrations the database has had; fails with 42P01 when it was never initialised. */
export const SELECT_SCHEMA_MIGRATIONS = `
SELECT version, name, breaking FROM schema_migrations ORDER BY version
`;
