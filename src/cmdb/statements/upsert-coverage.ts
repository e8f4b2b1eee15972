/**
 * $1 host_id, $2 epoch, then arrays: $3 from_time, $4 to_time, $5 mode, $6 attach, $7 gap, $8 lost,
 * $9 missed_probes, $10 note. An interval only grows.
 */
export const UPSERT_COVERAGE = `
INSERT INTO coverage (host_id, epoch, from_time, to_time, mode, attach, gap, lost, missed_probes, note)
SELECT $1::uuid, $2::bigint, c.from_time, c.to_time, c.mode, c.attach, c.gap, c.lost, c.missed_probes, c.note
FROM unnest($3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::boolean[], $8::bigint[], $9::bigint[], $10::text[])
  AS c (from_time, to_time, mode, attach, gap, lost, missed_probes, note)
ORDER BY c.from_time
ON CONFLICT (host_id, epoch, from_time) DO UPDATE SET
  to_time       = GREATEST(coverage.to_time, EXCLUDED.to_time),
  mode          = CASE WHEN EXCLUDED.to_time >= coverage.to_time THEN EXCLUDED.mode ELSE coverage.mode END,
  attach        = CASE WHEN EXCLUDED.to_time >= coverage.to_time THEN EXCLUDED.attach ELSE coverage.attach END,
  gap           = CASE WHEN EXCLUDED.to_time >= coverage.to_time THEN EXCLUDED.gap ELSE coverage.gap END,
  lost          = GREATEST(coverage.lost, EXCLUDED.lost),
  missed_probes = GREATEST(coverage.missed_probes, EXCLUDED.missed_probes),
  note          = CASE WHEN EXCLUDED.to_time >= coverage.to_time THEN EXCLUDED.note ELSE coverage.note END
`;
