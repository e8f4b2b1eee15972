/**
 * $1 host_id, then arrays: $2 node_id, $3 process_id, $4 address, $5 port, $6 netns, $7 first_seen,
 * $8 last_seen.
 */
export const UPSERT_PASSIVE_NODES = `
INSERT INTO passive_nodes (host_id, node_id, process_id, address, port, netns, first_seen, last_seen)
SELECT $1::uuid, n.node_id, n.process_id, n.address, n.port, n.netns, n.first_seen, n.last_seen
FROM unnest($2::bigint[], $3::bigint[], $4::inet[], $5::integer[], $6::text[], $7::timestamptz[], $8::timestamptz[])
  AS n (node_id, process_id, address, port, netns, first_seen, last_seen)
ORDER BY n.node_id
ON CONFLICT (host_id, node_id) DO UPDATE SET
  first_seen = LEAST(passive_nodes.first_seen, EXCLUDED.first_seen),
  last_seen  = GREATEST(passive_nodes.last_seen, EXCLUDED.last_seen)
WHERE passive_nodes.last_seen < EXCLUDED.last_seen OR passive_nodes.first_seen > EXCLUDED.first_seen
`;
