/** $1 version, $2 name, $3 breaking. */
export const INSERT_SCHEMA_MIGRATION = `
INSERT INTO schema_migrations (version, name, breaking) VALUES ($1, $2, $3)
`;
