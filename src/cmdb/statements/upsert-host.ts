/**
 * $1 host_id, $2 name, $3 boot_id, $4 agent_version, $5 kernel_release, $6 time of the flush.
 * Returns whether the database knew this host: a first_seen of $6 says it did not.
 */
export const UPSERT_HOST = `
INSERT INTO hosts (host_id, name, boot_id, agent_version, kernel_release, first_seen, last_seen)
VALUES ($1::uuid, $2::text, $3::uuid, $4::text, $5::text, $6::timestamptz, $6::timestamptz)
ON CONFLICT (host_id) DO UPDATE SET
  name           = CASE WHEN EXCLUDED.last_seen >= hosts.last_seen THEN EXCLUDED.name ELSE hosts.name END,
  boot_id        = CASE WHEN EXCLUDED.last_seen >= hosts.last_seen THEN EXCLUDED.boot_id ELSE hosts.boot_id END,
  agent_version  = CASE WHEN EXCLUDED.last_seen >= hosts.last_seen THEN EXCLUDED.agent_version ELSE hosts.agent_version END,
  kernel_release = CASE WHEN EXCLUDED.last_seen >= hosts.last_seen THEN EXCLUDED.kernel_release ELSE hosts.kernel_release END,
  first_seen     = LEAST(hosts.first_seen, EXCLUDED.first_seen),
  last_seen      = GREATEST(hosts.last_seen, EXCLUDED.last_seen)
RETURNING first_seen
`;
