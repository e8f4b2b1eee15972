/**
 * Folds the staged flows in. Sorted by key, so that agents that share rows don't deadlock; a row that
 * would not change is not rewritten.
 */
export const UPSERT_FLOWS = `
INSERT INTO flows (host_id, flow_id, edge_id, side, process_id, scope, active_address, passive_address,
  passive_port, found_by, first_seen, last_seen)
SELECT host_id, flow_id, edge_id, side, process_id, scope, active_address, passive_address,
  passive_port, found_by, first_seen, last_seen
FROM pg_temp.stage_flows
ORDER BY host_id, flow_id
ON CONFLICT (host_id, flow_id) DO UPDATE SET
  found_by   = flows.found_by | EXCLUDED.found_by,
  first_seen = LEAST(flows.first_seen, EXCLUDED.first_seen),
  last_seen  = GREATEST(flows.last_seen, EXCLUDED.last_seen)
WHERE flows.last_seen < EXCLUDED.last_seen
   OR flows.first_seen > EXCLUDED.first_seen
   OR (flows.found_by | EXCLUDED.found_by) <> flows.found_by
`;
