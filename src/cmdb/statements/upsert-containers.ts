/**
 * $1 host_id, $2 time of the flush, then arrays: $3 container_id, $4 runtime.
 */
export const UPSERT_CONTAINERS = `
INSERT INTO containers (host_id, container_id, runtime, first_seen, last_seen)
SELECT $1::uuid, c.container_id, c.runtime, $2::timestamptz, $2::timestamptz
FROM unnest($3::text[], $4::text[]) AS c (container_id, runtime)
ORDER BY c.container_id
ON CONFLICT (host_id, container_id) DO UPDATE SET
  runtime    = CASE WHEN EXCLUDED.last_seen >= containers.last_seen THEN EXCLUDED.runtime ELSE containers.runtime END,
  first_seen = LEAST(containers.first_seen, EXCLUDED.first_seen),
  last_seen  = GREATEST(containers.last_seen, EXCLUDED.last_seen)
WHERE containers.last_seen < EXCLUDED.last_seen OR containers.first_seen > EXCLUDED.first_seen
`;
