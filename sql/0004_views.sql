-- For people who ask in SQL. Each edge counts once: by its active side where that was seen, else by
-- its passive side.

CREATE VIEW edge_halves AS
SELECT f.edge_id, f.host_id, f.flow_id, f.side,
  f.side = 'A' OR o.edge_id IS NULL AS counts,
  CASE WHEN o.edge_id IS NOT NULL THEN 'both' WHEN f.side = 'A' THEN 'active' ELSE 'passive' END AS seen_by,
  CASE f.side WHEN 'A' THEN h.name ELSE o.hosts END AS active_host,
  CASE f.side WHEN 'A' THEN nullif(p.name, '') ELSE o.processes END AS active_process,
  CASE f.side WHEN 'A' THEN nullif(p.unit, '') ELSE o.units END AS active_unit,
  f.active_address,
  CASE f.side WHEN 'P' THEN h.name ELSE o.hosts END AS passive_host,
  CASE f.side WHEN 'P' THEN nullif(p.name, '') ELSE o.processes END AS passive_process,
  CASE f.side WHEN 'P' THEN nullif(p.unit, '') ELSE o.units END AS passive_unit,
  f.passive_address, f.passive_port,
  LEAST(f.first_seen, o.first_seen) AS first_seen, GREATEST(f.last_seen, o.last_seen) AS last_seen
FROM flows f
JOIN hosts h ON h.host_id = f.host_id
LEFT JOIN processes p ON p.host_id = f.host_id AND p.process_id = f.process_id
LEFT JOIN (
  SELECT x.edge_id, x.side, x.passive_address, x.passive_port,
    string_agg(DISTINCT xh.name, ', ') AS hosts,
    string_agg(DISTINCT nullif(xp.name, ''), ', ') AS processes,
    string_agg(DISTINCT nullif(xp.unit, ''), ', ') AS units,
    min(x.first_seen) AS first_seen, max(x.last_seen) AS last_seen
  FROM flows x
  JOIN hosts xh ON xh.host_id = x.host_id
  LEFT JOIN processes xp ON xp.host_id = x.host_id AND xp.process_id = x.process_id
  GROUP BY x.edge_id, x.side, x.passive_address, x.passive_port
) o ON o.edge_id = f.edge_id AND o.passive_address = f.passive_address AND o.passive_port = f.passive_port
  AND o.side = CASE f.side WHEN 'A' THEN 'P'::"char" ELSE 'A'::"char" END;

COMMENT ON VIEW edge_halves IS 'Flows with the names of both ends: what each side saw of an edge. Sums over it count edges twice, but for rows with counts.';
COMMENT ON COLUMN edge_halves.counts IS 'Whether this half is the one to count: the active side''s, or the passive side''s where no active side was seen.';
COMMENT ON COLUMN edge_halves.seen_by IS 'both, active or passive: which ends have an agent that saw the edge.';
COMMENT ON COLUMN edge_halves.active_host IS 'Host of the side that connects; null when no agent saw it. Several, which share the edge: separated by commas.';
COMMENT ON COLUMN edge_halves.active_process IS 'Process that connects, likewise.';
COMMENT ON COLUMN edge_halves.active_unit IS 'Its systemd unit, likewise.';
COMMENT ON COLUMN edge_halves.passive_host IS 'Host of the side that listens, likewise.';
COMMENT ON COLUMN edge_halves.passive_process IS 'Process that listens, likewise.';
COMMENT ON COLUMN edge_halves.passive_unit IS 'Its systemd unit, likewise.';
COMMENT ON COLUMN edge_halves.first_seen IS 'Earliest connection or failed connect that either side knows of.';
COMMENT ON COLUMN edge_halves.last_seen IS 'Latest time that either side knew it to be in use.';

CREATE VIEW edge_history AS
SELECT h.bucket, h.bucket_seconds, e.edge_id, e.seen_by,
  e.active_host, e.active_process, e.active_unit, e.active_address,
  e.passive_host, e.passive_process, e.passive_unit, e.passive_address, e.passive_port,
  h.opened, h.open_at_start, h.open_max, h.open_now,
  h.failed_refused + h.failed_timed_out + h.failed_unreachable + h.failed_other AS failed,
  h.failed_refused, h.failed_timed_out, h.failed_unreachable,
  h.bytes_to_passive, h.bytes_to_active, h.retransmits
FROM edge_halves e
JOIN flow_history h ON h.host_id = e.host_id AND h.flow_id = e.flow_id
WHERE e.counts;

COMMENT ON VIEW edge_history IS 'Edges per bucket, and per run of the agent where that was restarted. Sums over it count nothing twice. Bound bucket, or every day is read.';
COMMENT ON COLUMN edge_history.bucket IS 'Start of the time slice.';
COMMENT ON COLUMN edge_history.opened IS 'Distinct connections that became known in this bucket.';
COMMENT ON COLUMN edge_history.open_at_start IS 'Connections known before and open when the bucket began.';
COMMENT ON COLUMN edge_history.failed IS 'Connects that failed, for whatever reason.';

CREATE VIEW edges AS
SELECT e.edge_id, e.seen_by,
  e.active_host, e.active_process, e.active_unit, e.active_address,
  e.passive_host, e.passive_process, e.passive_unit, e.passive_address, e.passive_port,
  (sum(h.opened) + (array_agg(h.open_at_start ORDER BY h.bucket, h.epoch))[1])::bigint AS connections,
  sum(h.failed_refused + h.failed_timed_out + h.failed_unreachable + h.failed_other)::bigint AS failed,
  (array_agg(h.open_now ORDER BY h.bucket DESC, h.epoch DESC))[1] AS open,
  sum(h.bytes_to_passive)::bigint AS bytes_to_passive,
  sum(h.bytes_to_active)::bigint AS bytes_to_active,
  sum(h.retransmits)::bigint AS retransmits,
  e.first_seen, e.last_seen
FROM edge_halves e
JOIN flow_history h ON h.host_id = e.host_id AND h.flow_id = e.flow_id
WHERE e.counts
GROUP BY e.host_id, e.flow_id, e.edge_id, e.seen_by,
  e.active_host, e.active_process, e.active_unit, e.active_address,
  e.passive_host, e.passive_process, e.passive_unit, e.passive_address, e.passive_port,
  e.first_seen, e.last_seen;

COMMENT ON VIEW edges IS 'Dependencies with the names of both ends and the totals of all history that is kept; a row for each process that connects. Nothing is counted twice.';
COMMENT ON COLUMN edges.connections IS 'Connections known in all history that is kept.';
COMMENT ON COLUMN edges.failed IS 'Connects that failed.';
COMMENT ON COLUMN edges.open IS 'Connections open at the latest report.';

CREATE VIEW coverage_gaps AS
SELECT g.host_id, h.name AS host, g.from_time, g.to_time, g.kind, g.note
FROM (
  SELECT s.host_id, s.watched_until AS from_time, s.from_time AS to_time, 'unwatched' AS kind, '' AS note
  FROM (
    SELECT c.host_id, c.from_time, max(c.to_time) OVER (
      PARTITION BY c.host_id ORDER BY c.from_time, c.epoch ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS watched_until
    FROM coverage c
  ) s
  WHERE s.watched_until < s.from_time
  UNION ALL
  SELECT c.host_id, c.from_time, c.to_time, 'reported', c.note FROM coverage c WHERE c.gap
  UNION ALL
  SELECT c.host_id, max(c.to_time), NULL, 'open', '' FROM coverage c GROUP BY c.host_id
) g
JOIN hosts h ON h.host_id = g.host_id;

COMMENT ON VIEW coverage_gaps IS 'When hosts were not watched. Where there is a gap, "no edge" means nothing.';
COMMENT ON COLUMN coverage_gaps.from_time IS 'End of what was watched before.';
COMMENT ON COLUMN coverage_gaps.to_time IS 'When somebody watched again; null: not as far as has been written.';
COMMENT ON COLUMN coverage_gaps.kind IS 'unwatched: no agent ran; reported: an agent ran and knows that it saw nothing; open: since the latest report, seconds ago while the agent runs.';
COMMENT ON COLUMN coverage_gaps.note IS 'What the agent said of a reported gap.';
