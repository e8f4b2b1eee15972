/**
 * $1: processes last reported before this time that nothing refers to. An agent writes a process
 * once and then takes it to be there, so what an agent that is still reporting may have written stays.
 */
export const DELETE_PROCESSES = `
DELETE FROM processes p
WHERE p.last_seen < $1
  AND NOT EXISTS (SELECT 1 FROM flows f WHERE f.host_id = p.host_id AND f.process_id = p.process_id)
  AND NOT EXISTS (SELECT 1 FROM passive_nodes n WHERE n.host_id = p.host_id AND n.process_id = p.process_id)
  AND NOT EXISTS (SELECT 1 FROM coverage c WHERE c.host_id = p.host_id AND c.to_time >= $1
    AND to_timestamp(c.epoch / 1000.0) <= p.last_seen)
`;
