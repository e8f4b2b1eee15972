/** $1: listeners last seen before this time. */
export const DELETE_PASSIVE_NODES = `
DELETE FROM passive_nodes WHERE last_seen < $1
`;
