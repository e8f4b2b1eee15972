-- The CMDB (paper, section 3.2): processes are nodes, flows are edges. The passive side of an edge
-- has a listening port and its own table; the active side has folded its ephemeral ports away.
--
-- Every key is computed by the agent, every write is an idempotent upsert, and every table is
-- distributable by host_id: no sequences, no foreign keys on the two hot tables.

CREATE TABLE hosts (
  host_id        uuid PRIMARY KEY,
  name           text NOT NULL,
  boot_id        uuid,
  agent_version  text NOT NULL DEFAULT '',
  kernel_release text NOT NULL DEFAULT '',
  attrs          jsonb NOT NULL DEFAULT '{}',
  first_seen     timestamptz NOT NULL,
  last_seen      timestamptz NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE  hosts IS 'Hosts that run an agent.';
COMMENT ON COLUMN hosts.host_id IS 'Derived from machine-id by the agent, or set with --host-id.';
COMMENT ON COLUMN hosts.name IS 'Host name as the agent saw it last.';
COMMENT ON COLUMN hosts.boot_id IS 'Boot the agent reported from last.';
COMMENT ON COLUMN hosts.agent_version IS 'Version of ttracerd that reported last.';
COMMENT ON COLUMN hosts.kernel_release IS 'Kernel release (uname -r) at the last report.';
COMMENT ON COLUMN hosts.attrs IS 'Free attributes of the host.';
COMMENT ON COLUMN hosts.first_seen IS 'First report.';
COMMENT ON COLUMN hosts.last_seen IS 'Latest report.';

CREATE TABLE host_addresses (
  host_id    uuid NOT NULL REFERENCES hosts (host_id) ON DELETE CASCADE,
  address    inet NOT NULL,
  netns      text NOT NULL DEFAULT '',
  host_local boolean NOT NULL DEFAULT false,
  first_seen timestamptz NOT NULL,
  last_seen  timestamptz NOT NULL,
  PRIMARY KEY (host_id, address, netns)
);
CREATE INDEX host_addresses_address ON host_addresses (address);

COMMENT ON TABLE  host_addresses IS 'Which host owned which address, and when.';
COMMENT ON COLUMN host_addresses.host_id IS 'Owner.';
COMMENT ON COLUMN host_addresses.address IS 'Address without prefix length.';
COMMENT ON COLUMN host_addresses.netns IS 'Network namespace: empty for the host''s own, else net:INUM.';
COMMENT ON COLUMN host_addresses.host_local IS 'Means nothing beyond this host (loopback, link-local, bridge).';
COMMENT ON COLUMN host_addresses.first_seen IS 'First report of this ownership.';
COMMENT ON COLUMN host_addresses.last_seen IS 'Latest report of this ownership.';

CREATE TABLE containers (
  host_id      uuid NOT NULL REFERENCES hosts (host_id) ON DELETE CASCADE,
  container_id text NOT NULL,
  runtime      text NOT NULL DEFAULT '',
  attrs        jsonb NOT NULL DEFAULT '{}',
  first_seen   timestamptz NOT NULL,
  last_seen    timestamptz NOT NULL,
  PRIMARY KEY (host_id, container_id)
);

COMMENT ON TABLE  containers IS 'Containers in which traced processes ran.';
COMMENT ON COLUMN containers.host_id IS 'Host the container ran on.';
COMMENT ON COLUMN containers.container_id IS 'Id the runtime put into the cgroup path.';
COMMENT ON COLUMN containers.runtime IS 'Runtime as far as the cgroup path tells.';
COMMENT ON COLUMN containers.attrs IS 'Free attributes.';
COMMENT ON COLUMN containers.first_seen IS 'First report.';
COMMENT ON COLUMN containers.last_seen IS 'Latest report.';

CREATE TABLE processes (
  host_id      uuid NOT NULL REFERENCES hosts (host_id) ON DELETE CASCADE,
  process_id   bigint NOT NULL,
  name         text NOT NULL,
  exe          text NOT NULL DEFAULT '',
  command      text NOT NULL DEFAULT '',
  unit         text NOT NULL DEFAULT '',
  container_id text,
  uid          bigint NOT NULL DEFAULT -1,
  user_name    text NOT NULL DEFAULT '',
  pid          integer NOT NULL DEFAULT 0,
  pgid         integer NOT NULL DEFAULT 0,
  first_seen   timestamptz NOT NULL,
  last_seen    timestamptz NOT NULL,
  PRIMARY KEY (host_id, process_id)
);
CREATE INDEX processes_name ON processes (name);

COMMENT ON TABLE  processes IS 'Nodes: processes, as stable over restarts and deploys as possible.';
COMMENT ON COLUMN processes.host_id IS 'Host the process runs on.';
COMMENT ON COLUMN processes.process_id IS 'Hash of host, executable, unit or container and user; 0 stands for "not known which".';
COMMENT ON COLUMN processes.name IS 'Command name (comm); empty when unattributed.';
COMMENT ON COLUMN processes.exe IS 'Path of the executable.';
COMMENT ON COLUMN processes.command IS 'First word of the command line; arguments are never stored.';
COMMENT ON COLUMN processes.unit IS 'systemd unit, empty when none.';
COMMENT ON COLUMN processes.container_id IS 'Container, when in one.';
COMMENT ON COLUMN processes.uid IS 'Effective user id, -1 when unknown.';
COMMENT ON COLUMN processes.user_name IS 'Name of that user on the host.';
COMMENT ON COLUMN processes.pid IS 'pid of the latest instance.';
COMMENT ON COLUMN processes.pgid IS 'Process group of the latest instance.';
COMMENT ON COLUMN processes.first_seen IS 'First report.';
COMMENT ON COLUMN processes.last_seen IS 'Latest report that mentioned it.';

CREATE TABLE passive_nodes (
  host_id    uuid NOT NULL,
  node_id    bigint NOT NULL,
  process_id bigint NOT NULL,
  proto      smallint NOT NULL DEFAULT 6,
  address    inet NOT NULL,
  port       integer NOT NULL,
  netns      text NOT NULL DEFAULT '',
  first_seen timestamptz NOT NULL,
  last_seen  timestamptz NOT NULL,
  PRIMARY KEY (host_id, node_id),
  FOREIGN KEY (host_id, process_id) REFERENCES processes (host_id, process_id) ON DELETE CASCADE
);
CREATE INDEX passive_nodes_port ON passive_nodes (port, address);

COMMENT ON TABLE  passive_nodes IS 'Listening endpoints: a process and the port it accepts on.';
COMMENT ON COLUMN passive_nodes.host_id IS 'Host of the listener.';
COMMENT ON COLUMN passive_nodes.node_id IS 'Hash of process, protocol, address, port and namespace.';
COMMENT ON COLUMN passive_nodes.process_id IS 'Process that holds the listening socket.';
COMMENT ON COLUMN passive_nodes.proto IS 'IP protocol number (6: TCP).';
COMMENT ON COLUMN passive_nodes.address IS 'Listening address; 0.0.0.0 or :: is any.';
COMMENT ON COLUMN passive_nodes.port IS 'Listening port.';
COMMENT ON COLUMN passive_nodes.netns IS 'Network namespace: empty for the host''s own, else net:INUM.';
COMMENT ON COLUMN passive_nodes.first_seen IS 'First seen listening.';
COMMENT ON COLUMN passive_nodes.last_seen IS 'Last seen listening.';

CREATE TABLE flows (
  host_id         uuid NOT NULL,
  flow_id         bigint NOT NULL,
  edge_id         bigint NOT NULL,
  side            "char" NOT NULL CHECK (side IN ('A', 'P')),
  proto           smallint NOT NULL DEFAULT 6,
  process_id      bigint NOT NULL,
  scope           text NOT NULL DEFAULT '',
  active_address  inet NOT NULL,
  passive_address inet NOT NULL,
  passive_port    integer NOT NULL,
  found_by        smallint NOT NULL,
  first_seen      timestamptz NOT NULL,
  last_seen       timestamptz NOT NULL,
  PRIMARY KEY (host_id, flow_id)
) WITH (fillfactor = 80);
-- last_seen is deliberately not indexed: it would end heap-only updates of this hot table.
CREATE INDEX flows_edge ON flows (edge_id);
CREATE INDEX flows_passive ON flows (passive_address, passive_port);
CREATE INDEX flows_port ON flows (passive_port);
CREATE INDEX flows_active ON flows (active_address);
CREATE INDEX flows_process ON flows (host_id, process_id);

COMMENT ON TABLE  flows IS 'Halves of edges: all connections of one process to (or at) one passive endpoint, as one host saw them.';
COMMENT ON COLUMN flows.host_id IS 'Host that saw this half.';
COMMENT ON COLUMN flows.flow_id IS 'Hash of edge, side and process.';
COMMENT ON COLUMN flows.edge_id IS 'Hash of protocol, both addresses, passive port and scope: the same from both ends.';
COMMENT ON COLUMN flows.side IS 'A: the process opened the connections; P: it accepted them.';
COMMENT ON COLUMN flows.proto IS 'IP protocol number (6: TCP).';
COMMENT ON COLUMN flows.process_id IS 'The process at this host''s end.';
COMMENT ON COLUMN flows.scope IS 'Empty, or what confines host-local addresses: host id and namespace.';
COMMENT ON COLUMN flows.active_address IS 'Address of the side that connects.';
COMMENT ON COLUMN flows.passive_address IS 'Address of the side that listens.';
COMMENT ON COLUMN flows.passive_port IS 'Port of the side that listens.';
COMMENT ON COLUMN flows.found_by IS 'Bits: 1 kernel event, 2 snapshot, 4 destroy notice.';
COMMENT ON COLUMN flows.first_seen IS 'Earliest connection or failed connect known.';
COMMENT ON COLUMN flows.last_seen IS 'Latest time it was known to be in use.';

CREATE VIEW active_nodes AS
  SELECT host_id, process_id, min(first_seen) AS first_seen, max(last_seen) AS last_seen
  FROM flows WHERE side = 'A' GROUP BY host_id, process_id;

COMMENT ON VIEW active_nodes IS 'Processes that open connections. They have no port: ephemeral ports are folded away.';

CREATE TABLE flow_history (
  host_id            uuid NOT NULL,
  flow_id            bigint NOT NULL,
  bucket             timestamptz NOT NULL,
  epoch              bigint NOT NULL,
  bucket_seconds     integer NOT NULL DEFAULT 300 CHECK (bucket_seconds BETWEEN 1 AND 86400),
  opened             bigint NOT NULL,
  open_at_start      integer NOT NULL,
  open_max           integer NOT NULL,
  open_now           integer NOT NULL,
  failed_refused     bigint NOT NULL DEFAULT 0,
  failed_timed_out   bigint NOT NULL DEFAULT 0,
  failed_unreachable bigint NOT NULL DEFAULT 0,
  failed_other       bigint NOT NULL DEFAULT 0,
  bytes_to_passive   bigint NOT NULL DEFAULT 0,
  bytes_to_active    bigint NOT NULL DEFAULT 0,
  retransmits        bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (host_id, flow_id, bucket, epoch)
) PARTITION BY RANGE (bucket);

COMMENT ON TABLE  flow_history IS 'A row for every bucket in which a flow had a connection open, opened or failed. Totals are absolute per agent epoch.';
COMMENT ON COLUMN flow_history.host_id IS 'Host that saw it.';
COMMENT ON COLUMN flow_history.flow_id IS 'Flow of that host.';
COMMENT ON COLUMN flow_history.bucket IS 'Start of the time slice.';
COMMENT ON COLUMN flow_history.epoch IS 'Start of the reporting agent, milliseconds since 1970.';
COMMENT ON COLUMN flow_history.bucket_seconds IS 'Length of the time slice: a range that begins within it still includes it. At most a day, the length of a partition.';
COMMENT ON COLUMN flow_history.opened IS 'Distinct connections that became known in this bucket.';
COMMENT ON COLUMN flow_history.open_at_start IS 'Connections known before and open when the bucket began.';
COMMENT ON COLUMN flow_history.open_max IS 'Most connections open at once.';
COMMENT ON COLUMN flow_history.open_now IS 'Connections open at the latest write to this bucket.';
COMMENT ON COLUMN flow_history.failed_refused IS 'Connects that were refused.';
COMMENT ON COLUMN flow_history.failed_timed_out IS 'Connects that timed out.';
COMMENT ON COLUMN flow_history.failed_unreachable IS 'Connects to unreachable hosts or networks.';
COMMENT ON COLUMN flow_history.failed_other IS 'Connects given up by the caller, or failed otherwise.';
COMMENT ON COLUMN flow_history.bytes_to_passive IS 'Payload bytes the active side sent.';
COMMENT ON COLUMN flow_history.bytes_to_active IS 'Payload bytes the passive side sent.';
COMMENT ON COLUMN flow_history.retransmits IS 'Segments this end sent again.';

CREATE TABLE coverage (
  host_id       uuid NOT NULL REFERENCES hosts (host_id) ON DELETE CASCADE,
  epoch         bigint NOT NULL,
  from_time     timestamptz NOT NULL,
  to_time       timestamptz NOT NULL,
  mode          text NOT NULL,
  attach        text,
  gap           boolean NOT NULL DEFAULT false,
  lost          bigint NOT NULL DEFAULT 0,
  missed_probes bigint NOT NULL DEFAULT 0,
  note          text NOT NULL DEFAULT '',
  PRIMARY KEY (host_id, epoch, from_time)
);

COMMENT ON TABLE  coverage IS 'Who watched when, how, and what is known to be missed. No edge means something only where there is coverage.';
COMMENT ON COLUMN coverage.host_id IS 'Host that was watched.';
COMMENT ON COLUMN coverage.epoch IS 'Start of the watching agent, milliseconds since 1970.';
COMMENT ON COLUMN coverage.from_time IS 'Start of the interval.';
COMMENT ON COLUMN coverage.to_time IS 'End of the interval so far.';
COMMENT ON COLUMN coverage.mode IS 'stream, poll or once.';
COMMENT ON COLUMN coverage.attach IS 'Rung of the attach ladder: fentry, kprobe or tracepoint; null when polling.';
COMMENT ON COLUMN coverage.gap IS 'True for an interval in which the agent knows that it saw nothing.';
COMMENT ON COLUMN coverage.lost IS 'Events known to be lost in the interval.';
COMMENT ON COLUMN coverage.missed_probes IS 'Hook executions the kernel is known to have skipped.';
COMMENT ON COLUMN coverage.note IS 'One line for people.';

-- Creates the partition of one UTC day unless it exists. Safe when many agents call it at once:
-- the catalogue is read again under the lock (to_regclass would answer from a stale cache).
CREATE FUNCTION ensure_history_partition(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  partition_name text := 'flow_history_' || to_char(day, 'YYYYMMDD');
BEGIN
  IF to_regclass(partition_name) IS NOT NULL THEN RETURN; END IF;
  PERFORM pg_advisory_xact_lock(7318349394477);
  PERFORM 1 FROM pg_catalog.pg_class c WHERE c.relname = partition_name
    AND c.relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = 'flow_history'::regclass);
  IF FOUND THEN RETURN; END IF;
  EXECUTE format('CREATE TABLE %I PARTITION OF flow_history FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 80)',
                 partition_name, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
END $$;

COMMENT ON FUNCTION ensure_history_partition(date) IS 'Creates the flow_history partition of one UTC day unless it exists.';
