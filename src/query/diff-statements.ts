const NONE = "B'0'::bit(288)";

/** 1: used in the range, 2: perhaps; 4: a connect failed in it, 8: perhaps. */
const states = (used: string, failed: string): string => `
    CASE WHEN ${used} & m.inside <> ${NONE} THEN 1
      ELSE CASE WHEN ${used} & m.touched <> ${NONE} THEN 2 ELSE 0 END
        | CASE WHEN ${failed} & m.inside <> ${NONE} THEN 4 ELSE 0 END
        | CASE WHEN ${failed} & m.touched <> ${NONE} THEN 8 ELSE 0 END
    END`;

/**
 * Flows that were established in one range and not in the other, or failed in one only; and those of
 * which that can't be told here: only history tells what happened near the ends of a range. A row for
 * each day of each range: $1 days, $2 shift (0 for one range, 4 for the other), $3 slots that lie
 * inside, $4 slots that are touched. Reads a row a flow and day, and is no join with `flows`: for
 * that, each parallel worker would read all of them.
 */
export const DIFFERING_FLOWS = `
SELECT s.host_id, s.flow_id::text FROM (
  SELECT d.host_id, d.flow_id, bit_or(${states('d.used', 'd.failed')} << m.shift) AS states
  FROM flow_days d
  JOIN unnest($1::date[], $2::integer[], $3::bit(288)[], $4::bit(288)[]) AS m (day, shift, inside, touched) ON m.day = d.day
  WHERE d.day = ANY($1::date[])
  GROUP BY d.host_id, d.flow_id
) s
WHERE CASE
  WHEN s.states & 17 = 17 THEN false
  WHEN s.states & 51 <> 0 THEN true
  ELSE s.states & 136 <> 0 AND s.states & 68 <> 68
END`;

/** $1 host ids, $2 flow ids. */
export const EDGES_OF_FLOWS = `
SELECT DISTINCT edge_id::text FROM flows
WHERE (host_id, flow_id) IN (SELECT h, f FROM unnest($1::uuid[], $2::bigint[]) AS u(h, f))`;

/**
 * Edges from active nodes to a port: processes ($2 hosts, $3 processes, $4 ports), bare addresses
 * ($5, $6 ports), and those local to a host ($7, $8, $9 ports). $1: `last_seen` after.
 */
export const EDGES_TO_PORTS = `
SELECT edge_id::text FROM flows
WHERE side = 'A' AND (host_id, process_id, passive_port) IN (SELECT h, p, n FROM unnest($2::uuid[], $3::bigint[], $4::int[]) AS u(h, p, n))
  AND last_seen > $1
UNION
SELECT edge_id::text FROM flows
WHERE scope = '' AND (active_address, passive_port) IN (SELECT a, n FROM unnest($5::inet[], $6::int[]) AS u(a, n))
  AND last_seen > $1
UNION
SELECT edge_id::text FROM flows
WHERE scope <> '' AND (host_id, active_address, passive_port) IN (SELECT h, a, n FROM unnest($7::uuid[], $8::inet[], $9::int[]) AS u(h, a, n))
  AND last_seen > $1`;

/** Who accepted on edges ($1), as far as it was seen. */
export const PASSIVE_ENDS = `
SELECT edge_id::text, host_id, process_id::text FROM flows WHERE edge_id = ANY($1::bigint[]) AND side = 'P'`;
