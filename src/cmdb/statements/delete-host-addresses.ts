/** $1: addresses whose owner last reported them before this time. */
export const DELETE_HOST_ADDRESSES = `
DELETE FROM host_addresses WHERE last_seen < $1
`;
