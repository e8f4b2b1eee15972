/** $1: intervals that ended before this time. */
export const DELETE_COVERAGE = `
DELETE FROM coverage WHERE to_time < $1
`;
