/**
 * $1 host_id, $2 time of the flush, then arrays: $3 process_id, $4 name, $5 exe, $6 command, $7 unit,
 * $8 container_id, $9 uid, $10 user_name, $11 pid, $12 pgid. A late batch never undoes a newer name.
 */
export const UPSERT_PROCESSES = `
INSERT INTO processes (host_id, process_id, name, exe, command, unit, container_id, uid, user_name, pid, pgid, first_seen, last_seen)
SELECT $1::uuid, p.process_id, p.name, p.exe, p.command, p.unit, p.container_id, p.uid, p.user_name, p.pid, p.pgid, $2::timestamptz, $2::timestamptz
FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[], $11::integer[], $12::integer[])
  AS p (process_id, name, exe, command, unit, container_id, uid, user_name, pid, pgid)
ORDER BY p.process_id
ON CONFLICT (host_id, process_id) DO UPDATE SET
  name         = CASE WHEN EXCLUDED.last_seen >= processes.last_seen THEN EXCLUDED.name ELSE processes.name END,
  exe          = CASE WHEN EXCLUDED.last_seen >= processes.last_seen THEN EXCLUDED.exe ELSE processes.exe END,
  command      = CASE WHEN EXCLUDED.last_seen >= processes.last_seen THEN EXCLUDED.command ELSE processes.command END,
  unit         = CASE WHEN EXCLUDED.last_seen >= processes.last_seen THEN EXCLUDED.unit ELSE processes.unit END,
  container_id = CASE WHEN EXCLUDED.last_seen >= processes.last_seen THEN EXCLUDED.container_id ELSE processes.container_id END,
  uid          = CASE WHEN EXCLUDED.last_seen >= processes.last_seen THEN EXCLUDED.uid ELSE processes.uid END,
  user_name    = CASE WHEN EXCLUDED.last_seen >= processes.last_seen THEN EXCLUDED.user_name ELSE processes.user_name END,
  pid          = CASE WHEN EXCLUDED.last_seen >= processes.last_seen THEN EXCLUDED.pid ELSE processes.pid END,
  pgid         = CASE WHEN EXCLUDED.last_seen >= processes.last_seen THEN EXCLUDED.pgid ELSE processes.pgid END,
  first_seen   = LEAST(processes.first_seen, EXCLUDED.first_seen),
  last_seen    = GREATEST(processes.last_seen, EXCLUDED.last_seen)
WHERE processes.last_seen < EXCLUDED.last_seen OR processes.first_seen > EXCLUDED.first_seen
`;
