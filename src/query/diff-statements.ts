const USED = '(h.opened > 0 OR h.open_at_start > 0 OR h.open_now > 0)';
const FAILED =
  '(h.failed_refused > 0 OR h.failed_timed_out > 0 OR h.failed_unreachable > 0 OR h.failed_other > 0)';

/** A bucket of the flow in the range $since to $until; $earliest lets the server skip partitions. */
const bucketOf = (since: string, until: string, earliest: string, condition: string): string => `
  SELECT 1 FROM flow_history h WHERE h.host_id = f.host_id AND h.flow_id = f.flow_id
    AND h.bucket < ${until} AND h.bucket > ${earliest}
    AND h.bucket + h.bucket_seconds * interval '1 second' > ${since}
    AND (f.last_seen >= ${since} OR h.open_now > 0) AND ${condition} LIMIT 1`;

/** 2: a connection was established in the range, 1: all that were tried failed, 0: neither. */
const stateIn = (since: string, until: string, earliest: string): string => `
  CASE WHEN f.first_seen >= ${until} OR f.last_seen <= ${earliest} THEN 0
    WHEN EXISTS (${bucketOf(since, until, earliest, USED)}) THEN 2
    WHEN EXISTS (${bucketOf(since, until, earliest, FAILED)}) THEN 1
    ELSE 0 END`;

/**
 * Edges of which a half was established in one range and not in the other, or failed in one only.
 * $1 since, $2 until, $3 since minus the longest bucket; $4, $5, $6 the same of the other range.
 * Asked flow by flow: the first bucket of a range answers, where reading them all would take long.
 */
export const DIFFERING_EDGES = `
SELECT DISTINCT f.edge_id::text FROM flows f
WHERE ${stateIn('$1', '$2', '$3')} <> ${stateIn('$4', '$5', '$6')}`;
