/** $1: flows last in use before this time. */
export const DELETE_FLOWS = `
DELETE FROM flows WHERE last_seen < $1
`;
