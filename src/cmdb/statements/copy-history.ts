/**
 * Columns as `historyRows` gives them.
 */
export const COPY_HISTORY = `
COPY pg_temp.stage_history (host_id, flow_id, bucket, epoch, bucket_seconds, opened, open_at_start, open_max, open_now,
  failed_refused, failed_timed_out, failed_unreachable, failed_other, bytes_to_passive, bytes_to_active, retransmits) FROM STDIN
`;
