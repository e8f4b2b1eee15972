const USED = '(h.opened > 0 OR h.open_at_start > 0 OR h.open_now > 0)';
const FAILED =
  '(h.failed_refused > 0 OR h.failed_timed_out > 0 OR h.failed_unreachable > 0 OR h.failed_other > 0)';

/**
 * Whether a flow has such a bucket in a range: one that begins in it, or else one that reaches into
 * it. Nearly always the first one found answers, so the second, which has to look through a day, is
 * asked for few flows.
 */
const hasBucket = (condition: string, since: string, until: string, earliest: string): string => {
  const bucket = (when: string): string => `EXISTS (
      SELECT 1 FROM flow_history h WHERE h.host_id = f.host_id AND h.flow_id = f.flow_id
        AND ${when} AND (f.last_seen >= ${since} OR h.open_now > 0) AND ${condition})`;
  return `${bucket(`h.bucket >= ${since} AND h.bucket < ${until}`)}
    OR ${bucket(`h.bucket > ${earliest} AND h.bucket < ${since}
        AND h.bucket + h.bucket_seconds * interval '1 second' > ${since}`)}`;
};

/** 2: a connection was established in the range, 1: all that were tried failed, 0: neither. */
const stateIn = (since: string, until: string, earliest: string): string => `
  CASE WHEN f.first_seen >= ${until} OR f.last_seen <= ${earliest} THEN 0
    WHEN ${hasBucket(USED, since, until, earliest)} THEN 2
    WHEN ${hasBucket(FAILED, since, until, earliest)} THEN 1
    ELSE 0 END`;

/**
 * Edges of which a half was established in one range and not in the other, or failed in one only.
 * $1 since, $2 until, $3 since minus the longest bucket; $4, $5, $6 the same of the other range.
 * Asked flow by flow, since reading all buckets of both ranges would take long.
 */
export const DIFFERING_EDGES = `
SELECT DISTINCT f.edge_id::text FROM flows f
WHERE ${stateIn('$1', '$2', '$3')} <> ${stateIn('$4', '$5', '$6')}`;
