/**
 * When halves of edges were in use: one row for each bucket in which a connection was opened or open.
 * $1 since, $2 until, $3 since minus the longest bucket, $4 edge ids.
 */
export const BUSY_BUCKETS = `
SELECT f.edge_id::text, f.host_id, f.process_id::text, f.side::text, h.bucket,
       max(h.bucket_seconds) AS bucket_seconds, max(h.opened) > 0 AS opened
FROM flows f JOIN flow_history h ON h.host_id = f.host_id AND h.flow_id = f.flow_id
WHERE f.edge_id = ANY($4::bigint[]) AND h.bucket < $2 AND h.bucket > $3
  AND h.bucket + h.bucket_seconds * interval '1 second' > $1
  AND (h.opened > 0 OR h.open_at_start > 0 OR h.open_now > 0)
GROUP BY f.edge_id, f.host_id, f.process_id, f.side, h.bucket`;
