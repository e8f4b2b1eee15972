/** $1 host_id, $2 UTC day: removes what the host wrote of it. */
export const PRUNE_HOST_HISTORY = `
SELECT prune_host_history($1::uuid, $2::date)::text AS removed
`;
