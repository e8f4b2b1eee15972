/** $1: hosts that last reported before this time, with all that belongs to them. */
export const DELETE_HOSTS = `
DELETE FROM hosts WHERE last_seen < $1
`;
