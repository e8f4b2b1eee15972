/** Edges of an endpoint. $1 address or null, $2 port or null, $3 `last_seen` after. */
export const EDGES_AT_ENDPOINT = `
SELECT edge_id::text FROM flows
WHERE ($1::inet IS NULL OR passive_address = $1) AND ($2::int IS NULL OR passive_port = $2)
  AND last_seen > $3
UNION
SELECT edge_id::text FROM flows WHERE active_address = $1 AND $2::int IS NULL AND last_seen > $3`;

/**
 * Listeners reachable at an endpoint between $3 and $4, wildcards included. $1 address or null,
 * $2 port or null. The address is the one asked for, where one was.
 */
export const LISTENERS_AT_ENDPOINT = `
SELECT host_id, process_id::text, host(address) AS address, port, netns FROM passive_nodes
WHERE ($1::inet IS NULL OR address = $1) AND ($2::int IS NULL OR port = $2)
  AND last_seen >= $3 AND first_seen < $4
UNION
SELECT l.host_id, l.process_id::text, host(a.address), l.port, l.netns
FROM host_addresses a
JOIN passive_nodes l ON l.host_id = a.host_id AND l.netns = a.netns
WHERE a.address = $1 AND ($2::int IS NULL OR l.port = $2)
  AND (host(l.address) = '::' OR (host(l.address) = '0.0.0.0' AND family($1::inet) = 4))
  AND a.last_seen >= $3 AND a.first_seen < $4 AND l.last_seen >= $3 AND l.first_seen < $4`;

/** Hosts that own an address. $1 address, $2 until. */
export const HOSTS_WITH_ADDRESS = `
SELECT host_id, host_local, netns FROM host_addresses WHERE address = $1 AND first_seen < $2`;

export const HOSTS_BY_NAME = `
SELECT host_id FROM hosts
WHERE name = $1 OR split_part(name, '.', 1) = $1 OR host_id::text = lower($1)`;

/** Edges that a host saw. $1 host ids, $2 `last_seen` after. */
export const EDGES_OF_HOSTS = `
SELECT edge_id::text FROM flows WHERE host_id = ANY($1::uuid[]) AND last_seen > $2`;

/** Edges that use routable addresses. $1 addresses, $2 `last_seen` after. */
export const EDGES_OF_ADDRESSES = `
SELECT edge_id::text FROM flows
WHERE passive_address = ANY($1::inet[]) AND last_seen > $2
UNION
SELECT edge_id::text FROM flows
WHERE active_address = ANY($1::inet[]) AND last_seen > $2`;

export const ROUTABLE_ADDRESSES_OF_HOSTS = `
SELECT DISTINCT host(address) AS address FROM host_addresses
WHERE host_id = ANY($1::uuid[]) AND NOT host_local AND first_seen < $2`;

export const LISTENERS_OF_HOSTS = `
SELECT host_id, process_id::text, host(address) AS address, port, netns FROM passive_nodes
WHERE host_id = ANY($1::uuid[]) AND last_seen >= $2 AND first_seen < $3`;

const processesWhere = (condition: string): string => `
SELECT host_id, process_id::text, last_seen FROM processes
WHERE ${condition} AND process_id <> 0 AND first_seen < $2`;

/** $1 name or, with a slash, the executable's path; $2 until. */
export const PROCESSES_BY_NAME = processesWhere('(name = $1 OR exe = $1)');

/** $1 unit, with or without its `.service`; $2 until. */
export const PROCESSES_BY_UNIT = processesWhere(
  "(unit = $1 OR unit = $1 || '.service') AND unit <> ''",
);

/** $1 the beginning of a container id, as tools abbreviate it; $2 until. */
export const PROCESSES_BY_CONTAINER = processesWhere('left(container_id, length($1)) = $1');
