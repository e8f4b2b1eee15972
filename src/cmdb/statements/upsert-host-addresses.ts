/**
 * $1 host_id, then arrays: $2 address, $3 netns, $4 host_local, $5 first_seen, $6 last_seen. A row is
 * an unbroken time of ownership, which grows. DISTINCT ON, because two spellings can be one address
 * and a row can't be upserted twice.
 */
export const UPSERT_HOST_ADDRESSES = `
INSERT INTO host_addresses (host_id, address, netns, host_local, first_seen, last_seen)
SELECT DISTINCT ON (a.address, a.netns, a.first_seen)
       $1::uuid, a.address, a.netns, a.host_local, a.first_seen, a.last_seen
FROM unnest($2::inet[], $3::text[], $4::boolean[], $5::timestamptz[], $6::timestamptz[])
  AS a (address, netns, host_local, first_seen, last_seen)
ORDER BY a.address, a.netns, a.first_seen, a.last_seen DESC
ON CONFLICT (host_id, address, netns, first_seen) DO UPDATE SET
  host_local = CASE WHEN EXCLUDED.last_seen >= host_addresses.last_seen THEN EXCLUDED.host_local ELSE host_addresses.host_local END,
  last_seen  = GREATEST(host_addresses.last_seen, EXCLUDED.last_seen)
WHERE host_addresses.last_seen < EXCLUDED.last_seen
`;
