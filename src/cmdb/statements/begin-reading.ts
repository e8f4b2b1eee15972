/** Makes a session one for queries: it can't write, can't run for ever, and speaks UTC. */
export const BEGIN_READING = `
SET default_transaction_read_only = on;
SET statement_timeout = '30s';
SET TimeZone = 'UTC'
`;
