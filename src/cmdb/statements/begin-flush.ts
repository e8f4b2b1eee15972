/**
 * Opens the transaction of a flush. Limits are local to it, so that they also hold behind a connection
 * pooler; the server ends a flush whose agent was stopped in the middle.
 */
export const BEGIN_FLUSH = `
BEGIN;
SET LOCAL statement_timeout = '10s';
SET LOCAL idle_in_transaction_session_timeout = '30s';
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC'
`;
