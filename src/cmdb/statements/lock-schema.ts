/**
 * One migration at a time in a database, however many agents start at once. Held to the end of the
 * transaction; the number is arbitrary but must stay the same for ever.
 */
export const LOCK_SCHEMA = `
SELECT pg_advisory_xact_lock(7318349394478)
`;
