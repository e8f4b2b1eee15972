/**
 * $1 host_id, $2 time of the flush, then arrays: $3 address, $4 netns, $5 host_local.
 * DISTINCT ON, because two spellings can be one address and a row can't be upserted twice.
 */
export const UPSERT_HOST_ADDRESSES = `
INSERT INTO host_addresses (host_id, address, netns, host_local, first_seen, last_seen)
SELECT DISTINCT ON (a.address, a.netns) $1::uuid, a.address, a.netns, a.host_local, $2::timestamptz, $2::timestamptz
FROM unnest($3::inet[], $4::text[], $5::boolean[]) AS a (address, netns, host_local)
ORDER BY a.address, a.netns
ON CONFLICT (host_id, address, netns) DO UPDATE SET
  host_local = CASE WHEN EXCLUDED.last_seen >= host_addresses.last_seen THEN EXCLUDED.host_local ELSE host_addresses.host_local END,
  first_seen = LEAST(host_addresses.first_seen, EXCLUDED.first_seen),
  last_seen  = GREATEST(host_addresses.last_seen, EXCLUDED.last_seen)
WHERE host_addresses.last_seen < EXCLUDED.last_seen OR host_addresses.first_seen > EXCLUDED.first_seen
`;
