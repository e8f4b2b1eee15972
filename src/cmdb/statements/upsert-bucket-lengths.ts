/** $1 host_id, then arrays: $2 day, $3 length of the longest bucket in the flush, seconds. */
export const UPSERT_BUCKET_LENGTHS = `
INSERT INTO bucket_lengths (host_id, day, seconds)
SELECT $1::uuid, b.day, b.seconds FROM unnest($2::date[], $3::integer[]) AS b (day, seconds)
ORDER BY b.day
ON CONFLICT (host_id, day) DO UPDATE SET seconds = EXCLUDED.seconds
WHERE bucket_lengths.seconds < EXCLUDED.seconds
`;
