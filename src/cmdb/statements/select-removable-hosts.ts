/** $1 name or id of a host; $2 a time: whether it reported since. */
export const SELECT_REMOVABLE_HOSTS = `
SELECT host_id, name, last_seen, last_seen > $2 AS is_reporting FROM hosts
WHERE name = $1 OR host_id::text = lower($1)
ORDER BY host_id
`;
