/**
 * Where COPY puts the flows of a flush. Lives as long as the connection, empty between flushes.
 */
export const STAGE_FLOWS = `
CREATE TEMP TABLE IF NOT EXISTS stage_flows (
  host_id         uuid NOT NULL,
  flow_id         bigint NOT NULL,
  edge_id         bigint NOT NULL,
  side            "char" NOT NULL,
  process_id      bigint NOT NULL,
  scope           text NOT NULL,
  active_address  inet NOT NULL,
  passive_address inet NOT NULL,
  passive_port    integer NOT NULL,
  found_by        smallint NOT NULL,
  first_seen      timestamptz NOT NULL,
  last_seen       timestamptz NOT NULL
) ON COMMIT DELETE ROWS
`;
