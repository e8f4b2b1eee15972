/**
 * Where COPY puts the bucket totals of a flush.
 */
export const STAGE_HISTORY = `
CREATE TEMP TABLE IF NOT EXISTS stage_history (
  host_id            uuid NOT NULL,
  flow_id            bigint NOT NULL,
  bucket             timestamptz NOT NULL,
  epoch              bigint NOT NULL,
  bucket_seconds     integer NOT NULL,
  opened             bigint NOT NULL,
  open_at_start      integer NOT NULL,
  open_max           integer NOT NULL,
  open_now           integer NOT NULL,
  failed_refused     bigint NOT NULL,
  failed_timed_out   bigint NOT NULL,
  failed_unreachable bigint NOT NULL,
  failed_other       bigint NOT NULL,
  bytes_to_passive   bigint NOT NULL,
  bytes_to_active    bigint NOT NULL,
  retransmits        bigint NOT NULL
) ON COMMIT DELETE ROWS
`;
