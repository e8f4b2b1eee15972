/**
 * Columns as `flowRows` gives them.
 */
export const COPY_FLOWS = `
COPY pg_temp.stage_flows (host_id, flow_id, edge_id, side, process_id, scope, active_address, passive_address,
  passive_port, found_by, first_seen, last_seen) FROM STDIN
`;
