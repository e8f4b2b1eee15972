/**
 * Folds the staged bucket totals in. Totals are absolute and only grow, so a batch written twice or
 * late changes nothing; what is open now is whatever was said last.
 */
export const UPSERT_HISTORY = `
INSERT INTO flow_history (host_id, flow_id, bucket, epoch, bucket_seconds, opened, open_at_start, open_max, open_now,
  failed_refused, failed_timed_out, failed_unreachable, failed_other, bytes_to_passive, bytes_to_active, retransmits)
SELECT host_id, flow_id, bucket, epoch, bucket_seconds, opened, open_at_start, open_max, open_now,
  failed_refused, failed_timed_out, failed_unreachable, failed_other, bytes_to_passive, bytes_to_active, retransmits
FROM pg_temp.stage_history
ORDER BY host_id, flow_id, bucket, epoch
ON CONFLICT (host_id, flow_id, bucket, epoch) DO UPDATE SET
  bucket_seconds     = GREATEST(flow_history.bucket_seconds, EXCLUDED.bucket_seconds),
  opened             = GREATEST(flow_history.opened, EXCLUDED.opened),
  open_at_start      = GREATEST(flow_history.open_at_start, EXCLUDED.open_at_start),
  open_max           = GREATEST(flow_history.open_max, EXCLUDED.open_max),
  open_now           = EXCLUDED.open_now,
  failed_refused     = GREATEST(flow_history.failed_refused, EXCLUDED.failed_refused),
  failed_timed_out   = GREATEST(flow_history.failed_timed_out, EXCLUDED.failed_timed_out),
  failed_unreachable = GREATEST(flow_history.failed_unreachable, EXCLUDED.failed_unreachable),
  failed_other       = GREATEST(flow_history.failed_other, EXCLUDED.failed_other),
  bytes_to_passive   = GREATEST(flow_history.bytes_to_passive, EXCLUDED.bytes_to_passive),
  bytes_to_active    = GREATEST(flow_history.bytes_to_active, EXCLUDED.bytes_to_active),
  retransmits        = GREATEST(flow_history.retransmits, EXCLUDED.retransmits)
WHERE flow_history.bucket_seconds < EXCLUDED.bucket_seconds
   OR flow_history.opened < EXCLUDED.opened
   OR flow_history.open_at_start < EXCLUDED.open_at_start
   OR flow_history.open_max < EXCLUDED.open_max
   OR flow_history.open_now <> EXCLUDED.open_now
   OR flow_history.failed_refused < EXCLUDED.failed_refused
   OR flow_history.failed_timed_out < EXCLUDED.failed_timed_out
   OR flow_history.failed_unreachable < EXCLUDED.failed_unreachable
   OR flow_history.failed_other < EXCLUDED.failed_other
   OR flow_history.bytes_to_passive < EXCLUDED.bytes_to_passive
   OR flow_history.bytes_to_active < EXCLUDED.bytes_to_active
   OR flow_history.retransmits < EXCLUDED.retransmits
`;
