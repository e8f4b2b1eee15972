import type pg from 'pg';

/** What the original tool knew of a connection. */
export interface BaselineFlow {
  readonly localAddress: string;
  readonly pgid: number;
  readonly process: string;
  readonly peerAddress: string;
  readonly port: number;
  readonly connections: number;
}

/** The tables of the original tool's statement pattern. */
export const BASELINE_SCHEMA = `
CREATE TABLE processes (id bigserial PRIMARY KEY, address inet NOT NULL, pgid integer NOT NULL, name text NOT NULL, UNIQUE (address, pgid, name));
CREATE TABLE active_nodes (id bigserial PRIMARY KEY, process_id bigint NOT NULL UNIQUE REFERENCES processes (id));
CREATE TABLE passive_nodes (id bigserial PRIMARY KEY, process_id bigint NOT NULL REFERENCES processes (id), port integer NOT NULL, UNIQUE (process_id, port));
CREATE TABLE flows (id bigserial PRIMARY KEY, source_node_id bigint NOT NULL REFERENCES active_nodes (id), destination_node_id bigint NOT NULL REFERENCES passive_nodes (id),
  connections integer NOT NULL, updated timestamptz NOT NULL DEFAULT now(), UNIQUE (source_node_id, destination_node_id))`;

const UPSERT_PROCESS = `
INSERT INTO processes (address, pgid, name) VALUES ($1, $2, $3)
ON CONFLICT (address, pgid, name) DO UPDATE SET name = EXCLUDED.name RETURNING id`;
const UPSERT_ACTIVE = `
INSERT INTO active_nodes (process_id) VALUES ($1)
ON CONFLICT (process_id) DO UPDATE SET process_id = EXCLUDED.process_id RETURNING id`;
const UPSERT_PASSIVE = `
INSERT INTO passive_nodes (process_id, port) VALUES ($1, $2)
ON CONFLICT (process_id, port) DO UPDATE SET port = EXCLUDED.port RETURNING id`;
const FIND_PASSIVE = `
SELECT n.id FROM passive_nodes n JOIN processes p ON p.id = n.process_id WHERE p.address = $1 AND n.port = $2`;
const UPSERT_FLOW = `
INSERT INTO flows (source_node_id, destination_node_id, connections) VALUES ($1, $2, $3)
ON CONFLICT (source_node_id, destination_node_id) DO UPDATE SET connections = EXCLUDED.connections, updated = now()`;

/**
 * Writes active flows as the original tool did: in one transaction, each statement prepared and a
 * round trip of its own, four a flow, six at first sight.
 */
export async function writeAsOriginal(
  client: pg.Client,
  flows: readonly BaselineFlow[],
): Promise<void> {
  const idOf = async (name: string, text: string, values: unknown[]): Promise<string | null> => {
    const { rows } = await client.query<{ id: string }>({ name, text, values });
    return rows[0]?.id ?? null;
  };
  await client.query('BEGIN');
  for (const { localAddress, pgid, process, peerAddress, port, connections } of flows) {
    const local = await idOf('process', UPSERT_PROCESS, [localAddress, pgid, process]);
    const active = await idOf('active', UPSERT_ACTIVE, [local]);
    let passive = await idOf('find', FIND_PASSIVE, [peerAddress, port]);
    if (passive === null) {
      const peer = await idOf('process', UPSERT_PROCESS, [peerAddress, 0, '']);
      passive = await idOf('passive', UPSERT_PASSIVE, [peer, port]);
    }
    await idOf('flow', UPSERT_FLOW, [active, passive, connections]);
  }
  await client.query('COMMIT');
}
