-- Addresses move: from host to host, and back. A row is one unbroken time of ownership, so the key
-- has its start.
ALTER TABLE host_addresses DROP CONSTRAINT host_addresses_pkey;
ALTER TABLE host_addresses ADD CONSTRAINT host_addresses_pkey PRIMARY KEY (host_id, address, netns, first_seen);

COMMENT ON TABLE  host_addresses IS 'Which host owned which address, and when: a row for each unbroken time of ownership that an agent saw.';
COMMENT ON COLUMN host_addresses.host_local IS 'Means nothing beyond this host (loopback, link-local, or of a bridge network without uplink).';
COMMENT ON COLUMN host_addresses.first_seen IS 'Start of this ownership, as an agent saw it.';
COMMENT ON COLUMN host_addresses.last_seen IS 'Latest sight of this ownership; grows while it lasts.';
COMMENT ON COLUMN flows.scope IS 'Empty, or what confines host-local addresses: host id, for loopback also /namespace; then > if only the active address is local, < if only the passive one is.';
