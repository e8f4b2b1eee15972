-- breaking
-- Which five minutes of a day a flow was in use. A day of history is read for the flows that are
-- shown; which these are is found here, in a row a flow and day. An agent that does not write it
-- would make edges look unused, hence "breaking".

CREATE TABLE bucket_lengths (
  host_id uuid NOT NULL,
  day     date NOT NULL,
  seconds integer NOT NULL,
  PRIMARY KEY (host_id, day)
);
CREATE INDEX bucket_lengths_day ON bucket_lengths (day);

COMMENT ON TABLE  bucket_lengths IS 'How long the longest bucket of a day is: so far before a range a bucket that reaches into it may begin.';
COMMENT ON COLUMN bucket_lengths.host_id IS 'Host that wrote the buckets.';
COMMENT ON COLUMN bucket_lengths.day IS 'UTC day the buckets lie in.';
COMMENT ON COLUMN bucket_lengths.seconds IS 'Length of the longest of them.';

INSERT INTO bucket_lengths (host_id, day, seconds)
SELECT host_id, day, max(bucket_seconds) FROM (
  SELECT host_id, bucket_seconds, date '1970-01-01' + (floor(extract(epoch FROM bucket))::bigint / 86400)::integer AS day FROM flow_history
) h GROUP BY host_id, day;

CREATE TABLE flow_days (
  host_id uuid NOT NULL,
  flow_id bigint NOT NULL,
  day     date NOT NULL,
  used    bit(288) NOT NULL,
  failed  bit(288),
  PRIMARY KEY (host_id, flow_id, day)
) PARTITION BY RANGE (day);

COMMENT ON TABLE  flow_days IS 'In which five minutes of a day a flow was in use: finds the flows of a range without reading its history. Made of flow_history, by the same flush.';
COMMENT ON COLUMN flow_days.host_id IS 'Host that saw it.';
COMMENT ON COLUMN flow_days.flow_id IS 'Flow of that host.';
COMMENT ON COLUMN flow_days.day IS 'UTC day.';
COMMENT ON COLUMN flow_days.used IS 'A bit for every five minutes, first to last: a bucket with an open or opened connection overlaps them.';
COMMENT ON COLUMN flow_days.failed IS 'The same for buckets with failed connects; null when there were none.';

CREATE OR REPLACE FUNCTION ensure_history_partition(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  suffix text := to_char(day, 'YYYYMMDD');
BEGIN
  IF to_regclass('flow_history_' || suffix) IS NOT NULL AND to_regclass('flow_days_' || suffix) IS NOT NULL THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(7318349394477);
  PERFORM 1 FROM pg_catalog.pg_class c WHERE c.relname = 'flow_history_' || suffix
    AND c.relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = 'flow_history'::regclass);
  IF NOT FOUND THEN
    EXECUTE format('CREATE TABLE %I PARTITION OF flow_history FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 80)',
                   'flow_history_' || suffix, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
  END IF;
  PERFORM 1 FROM pg_catalog.pg_class c WHERE c.relname = 'flow_days_' || suffix
    AND c.relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = 'flow_days'::regclass);
  IF NOT FOUND THEN
    EXECUTE format('CREATE TABLE %I PARTITION OF flow_days FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 80)',
                   'flow_days_' || suffix, day::text, (day + 1)::text);
  END IF;
END $$;

COMMENT ON FUNCTION ensure_history_partition(date) IS 'Creates the partitions of one UTC day in flow_history and flow_days unless they exist.';

SELECT ensure_history_partition(d.day) FROM (
  SELECT DISTINCT date '1970-01-01' + (floor(extract(epoch FROM bucket))::bigint / 86400)::integer AS day FROM flow_history
) d ORDER BY d.day;

-- The slots from `first` to before `past`. A bucket lies within a day.
INSERT INTO flow_days (host_id, flow_id, day, used, failed)
SELECT host_id, flow_id, day, coalesce(bit_or(slots) FILTER (WHERE is_used), B'0'::bit(288)), bit_or(slots) FILTER (WHERE is_failed)
FROM (
  SELECT host_id, flow_id, date '1970-01-01' + (start / 86400)::integer AS day,
    ((~ B'0'::bit(288)) >> (start % 86400 / 300)::integer)
      & ((~ B'0'::bit(288)) << greatest(288 - (start % 86400 + bucket_seconds + 299) / 300, 0)::integer) AS slots,
    opened > 0 OR open_at_start > 0 OR open_now > 0 AS is_used,
    failed_refused > 0 OR failed_timed_out > 0 OR failed_unreachable > 0 OR failed_other > 0 AS is_failed
  FROM (SELECT *, floor(extract(epoch FROM bucket))::bigint AS start FROM flow_history) h
) buckets
WHERE is_used OR is_failed
GROUP BY host_id, flow_id, day;
