/** $1: days that ended before this time. */
export const DELETE_BUCKET_LENGTHS = `
DELETE FROM bucket_lengths WHERE day < ($1::timestamptz AT TIME ZONE 'UTC')::date
`;
