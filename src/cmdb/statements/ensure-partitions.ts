/**
 * Makes sure that history of these days has a partition. $1: days as date[]. Run before the
 * transaction of the flush: creating one locks all of flow_history for a moment.
 */
export const ENSURE_PARTITIONS = `
SELECT ensure_history_partition(day) FROM unnest($1::date[]) AS day ORDER BY day
`;
