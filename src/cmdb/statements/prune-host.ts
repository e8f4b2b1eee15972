/** $1 host_id, $2 limit: removes what the host last saw before it, history apart. */
export const PRUNE_HOST = `
SELECT prune_host($1::uuid, $2::timestamptz)::text AS removed
`;
