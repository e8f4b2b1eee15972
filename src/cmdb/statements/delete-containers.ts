/** $1: containers last reported before this time of which no process is known. */
export const DELETE_CONTAINERS = `
DELETE FROM containers k
WHERE k.last_seen < $1
  AND NOT EXISTS (SELECT 1 FROM processes p WHERE p.host_id = k.host_id AND p.container_id = k.container_id)
`;
