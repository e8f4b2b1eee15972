/**
 * Opens a transaction that removes old rows or partitions. Agents wait behind a lock that is asked
 * for, so asking is short and tried again.
 */
export const BEGIN_PRUNE = `
BEGIN;
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '10min';
SET LOCAL idle_in_transaction_session_timeout = '30s';
SET LOCAL TimeZone = 'UTC'
`;
