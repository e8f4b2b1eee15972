/**
 * Marks the five minutes of a day (288 bits) that the staged buckets of flows ($1) overlap. Marks only
 * add up, so a batch written twice or late changes nothing. A bucket lies within a day.
 */
export const UPSERT_FLOW_DAYS = `
INSERT INTO flow_days (host_id, flow_id, day, used, failed)
SELECT host_id, flow_id, day, coalesce(bit_or(slots) FILTER (WHERE is_used), B'0'::bit(288)), bit_or(slots) FILTER (WHERE is_failed)
FROM (
  SELECT host_id, flow_id, date '1970-01-01' + (start / 86400)::integer AS day,
    ((~ B'0'::bit(288)) >> (start % 86400 / 300)::integer)
      & ((~ B'0'::bit(288)) << greatest(288 - (start % 86400 + bucket_seconds + 299) / 300, 0)::integer) AS slots,
    opened > 0 OR open_at_start > 0 OR open_now > 0 AS is_used,
    failed_refused > 0 OR failed_timed_out > 0 OR failed_unreachable > 0 OR failed_other > 0 AS is_failed
  FROM (SELECT *, floor(extract(epoch FROM bucket))::bigint AS start FROM pg_temp.stage_history
    WHERE flow_id IN (SELECT f FROM unnest($1::bigint[]) AS u (f))) h
) buckets
WHERE is_used OR is_failed
GROUP BY host_id, flow_id, day
ORDER BY host_id, flow_id, day
ON CONFLICT (host_id, flow_id, day) DO UPDATE SET
  used   = flow_days.used | EXCLUDED.used,
  failed = coalesce(flow_days.failed | EXCLUDED.failed, flow_days.failed, EXCLUDED.failed)
WHERE (flow_days.used | EXCLUDED.used) <> flow_days.used
   OR coalesce((flow_days.failed | EXCLUDED.failed) <> flow_days.failed, EXCLUDED.failed IS NOT NULL)
`;
