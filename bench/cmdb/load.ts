import type pg from 'pg';
import * as fleet from './fleet.ts';

/** `h` host, `x` which of its edges: all of an edge but its history, as `edgeOf` has it. */
const EDGES = `
CREATE UNLOGGED TABLE bench_edges AS
SELECT e, h, tier, scope_host, passive_host, passive_tier, port,
  '10.0.0.0'::inet + h AS active_address,
  CASE WHEN passive_host IS NULL THEN '198.18.0.0'::inet + external ELSE '10.0.0.0'::inet + passive_host END AS passive_address,
  e % ${fleet.CHANGE_EVERY} AS kind,
  md5('host ' || h)::uuid AS host_id, md5('host ' || passive_host)::uuid AS passive_host_id,
  hashint8extended(h * 16 + tier, 1) AS process_id,
  hashint8extended(passive_host * 16 + passive_tier, 1) AS passive_process_id,
  hashint8extended(e, 2) AS edge_id, hashint8extended(e, 3) AS active_flow_id, hashint8extended(e, 4) AS passive_flow_id
FROM (
  SELECT e, h, NULL::bigint AS scope_host,
    CASE WHEN x < ${fleet.INNER_EDGES} THEN x / ${fleet.FAN_OUT} ELSE ${fleet.TIERS - 1} END AS tier,
    CASE WHEN x < ${fleet.INNER_EDGES}
        THEN h - h % ${fleet.CELL} + ((h % ${fleet.CELL}) * 3 + (x / ${fleet.FAN_OUT}) * 5 + x % ${fleet.FAN_OUT}) % ${fleet.CELL}
      WHEN x = ${fleet.EDGES_PER_HOST - 1} THEN (h / ${fleet.CELL}) % ${fleet.SHARED} END AS passive_host,
    CASE WHEN x < ${fleet.INNER_EDGES} THEN x / ${fleet.FAN_OUT} + 1 WHEN x = ${fleet.EDGES_PER_HOST - 1} THEN ${fleet.TIERS} ELSE 0 END AS passive_tier,
    CASE WHEN x < ${fleet.INNER_EDGES} THEN ${fleet.FIRST_PORT + 1} + x / ${fleet.FAN_OUT}
      WHEN x = ${fleet.EDGES_PER_HOST - 1} THEN ${fleet.SHARED_PORT} ELSE ${fleet.EXTERNAL_PORT} END AS port,
    (h * ${fleet.EXTERNALS} + x - ${fleet.INNER_EDGES}) % ${fleet.EXTERNAL_ADDRESSES} AS external
  FROM (
    SELECT e, e / ${fleet.EDGES_PER_HOST} AS h, e % ${fleet.EDGES_PER_HOST} AS x
    FROM generate_series(0, $HOSTS * ${fleet.EDGES_PER_HOST}::bigint - 1) AS e
  ) numbers
) ends
ORDER BY e`;

const INVENTORY = `
INSERT INTO hosts (host_id, name, agent_version, kernel_release, first_seen, last_seen)
SELECT md5('host ' || h)::uuid, 'host-' || h, 'bench', 'bench', $1::timestamptz, $2::timestamptz
FROM generate_series(0, $3::bigint - 1) AS h;
INSERT INTO host_addresses (host_id, address, host_local, first_seen, last_seen)
SELECT md5('host ' || h)::uuid, '10.0.0.0'::inet + h, false, $1::timestamptz, $2::timestamptz FROM generate_series(0, $3::bigint - 1) AS h
UNION ALL
SELECT md5('host ' || h)::uuid, '127.0.0.1'::inet, true, $1::timestamptz, $2::timestamptz FROM generate_series(0, $3::bigint - 1) AS h;
INSERT INTO processes (host_id, process_id, name, exe, unit, uid, pid, pgid, first_seen, last_seen)
SELECT md5('host ' || h)::uuid, hashint8extended(h * 16 + tier, 1), name, '/usr/bin/' || name, name || '.service', 33, 100, 100, $1::timestamptz, $2::timestamptz
FROM (
  SELECT h, tier, CASE WHEN tier < ${fleet.TIERS} THEN 'tier-' || tier ELSE 'shared' END AS name
  FROM generate_series(0, $3::bigint - 1) AS h CROSS JOIN generate_series(0, ${fleet.TIERS}) AS tier
  WHERE tier < ${fleet.TIERS} OR h < ${fleet.SHARED}
) nodes;
INSERT INTO passive_nodes (host_id, node_id, process_id, address, port, first_seen, last_seen)
SELECT md5('host ' || h)::uuid, hashint8extended(h * 16 + tier, 5), hashint8extended(h * 16 + tier, 1), '0.0.0.0',
  CASE WHEN tier < ${fleet.TIERS} THEN ${fleet.FIRST_PORT} + tier ELSE ${fleet.SHARED_PORT} END, $1::timestamptz, $2::timestamptz
FROM generate_series(0, $3::bigint - 1) AS h CROSS JOIN generate_series(1, ${fleet.TIERS}) AS tier
WHERE tier < ${fleet.TIERS} OR h < ${fleet.SHARED};
INSERT INTO coverage (host_id, epoch, from_time, to_time, mode, attach)
SELECT md5('host ' || h)::uuid, 1, $1::timestamptz, $2::timestamptz, 'stream', 'fentry' FROM generate_series(0, $3::bigint - 1) AS h;
`;

/** An edge that appears on the last day was first seen on it, and so on. The same for each side. */
const FLOWS = `
INSERT INTO flows (host_id, flow_id, edge_id, side, process_id, active_address, passive_address, passive_port, found_by, first_seen, last_seen)
SELECT host_id, flow_id, edge_id, side, process_id, active_address, passive_address, port, 1,
  CASE WHEN kind = ${fleet.APPEARS} THEN $2::timestamptz ELSE $1::timestamptz END,
  CASE WHEN kind = ${fleet.GOES} OR (kind = ${fleet.FAILS} AND side = 'P') THEN $2::timestamptz - interval '1 second' ELSE $3::timestamptz END
FROM (
  SELECT e, host_id, active_flow_id AS flow_id, edge_id, 'A'::"char" AS side, process_id, active_address, passive_address, port, kind FROM bench_edges
  UNION ALL
  SELECT e, passive_host_id, passive_flow_id, edge_id, 'P'::"char", passive_process_id, active_address, passive_address, port, kind
  FROM bench_edges WHERE passive_host IS NOT NULL
) halves
ORDER BY e, side`;

/**
 * One day of history, in the order in which agents would have written it: bucket by bucket. Each row
 * tells of `opened` connections that closed in the same bucket. $1 start of the fleet, $2 first and $3
 * last bucket of the day.
 */
const historyOf = (table: string): string => `
INSERT INTO ${table} (host_id, flow_id, bucket, epoch, bucket_seconds, opened, open_at_start, open_max, open_now,
  failed_refused, bytes_to_passive, bytes_to_active)
SELECT CASE WHEN side = 0 THEN host_id ELSE passive_host_id END, CASE WHEN side = 0 THEN active_flow_id ELSE passive_flow_id END,
  $1::timestamptz + b * interval '${fleet.BUCKET_SECONDS} seconds', 1, ${fleet.BUCKET_SECONDS},
  CASE WHEN fails THEN 0 ELSE count END, 0, CASE WHEN fails THEN 0 ELSE 1 END, 0,
  CASE WHEN fails THEN count ELSE 0 END, CASE WHEN fails THEN 0 ELSE count * 1000 END, CASE WHEN fails THEN 0 ELSE count * 5000 END
FROM (
  SELECT edges.*, b, 1 + (e + b) % 5 AS count, kind = ${fleet.FAILS} AND b >= ${fleet.CHANGE} AS fails
  FROM generate_series($2::integer, $3::integer) AS b CROSS JOIN (
    SELECT e::integer AS e, (e % 1009 + 1)::integer AS mix, kind, passive_host, host_id, passive_host_id, active_flow_id, passive_flow_id
    FROM bench_edges
  ) edges
  WHERE ((mix * (b % 1013 + 1) % 1021) * (mix * (b % 1013 + 1) % 1021) + e) % 1019 % 10 = 0
    AND NOT (kind = ${fleet.APPEARS} AND b < ${fleet.CHANGE}) AND NOT (kind = ${fleet.GOES} AND b >= ${fleet.CHANGE})
) uses CROSS JOIN generate_series(0, 1) AS side
WHERE side = 0 OR (passive_host IS NOT NULL AND NOT fails)`;

/** What the flushes of a day would have marked. */
const daysOf = (table: string): string => `
INSERT INTO flow_days (host_id, flow_id, day, used, failed)
SELECT host_id, flow_id, $1::date, coalesce(bit_or(slot) FILTER (WHERE opened > 0), B'0'::bit(288)),
  bit_or(slot) FILTER (WHERE failed_refused > 0)
FROM (SELECT *, set_bit(B'0'::bit(288), (extract(epoch FROM bucket)::bigint % 86400 / 300)::integer, 1) AS slot FROM ${table}) h
GROUP BY host_id, flow_id`;

type Connect = <T>(use: (client: pg.Client) => Promise<T>) => Promise<T>;

/** Writes a fleet of some hosts into an empty CMDB. */
export async function loadFleet(connect: Connect, hosts: number): Promise<void> {
  const [start, change] = [fleet.START, fleet.timeOf(fleet.CHANGE)];
  const end = fleet.timeOf(fleet.DAYS * fleet.BUCKETS_PER_DAY);
  await connect(async (client) => {
    await client.query(EDGES.replaceAll('$HOSTS', String(hosts)));
    for (const sql of INVENTORY.split(';\n').filter((text) => text.trim() !== '')) {
      await client.query(
        sql,
        [start, new Date(end.getTime() - 1_000), hosts].slice(0, parametersOf(sql)),
      );
    }
    await client.query(FLOWS, [start, change, new Date(end.getTime() - 1_000)]);
  });
  const days = Array.from({ length: fleet.DAYS }, (_, day) => day);
  const loader = async (): Promise<void> => {
    for (let day = days.shift(); day !== undefined; day = days.shift()) await loadDay(connect, day);
  };
  await Promise.all([loader(), loader()]);
  await connect(async (client) => {
    await client.query('DROP TABLE bench_edges');
    await client.query('VACUUM (ANALYZE)');
  });
}

function parametersOf(sql: string): number {
  return Math.max(...[...sql.matchAll(/\$(\d)/g)].map(([, number]) => Number(number)));
}

/** Indexes are made last, which is faster and gives the same table. */
async function loadDay(connect: Connect, day: number): Promise<void> {
  const first = day * fleet.BUCKETS_PER_DAY;
  const date = fleet.timeOf(first).toISOString().slice(0, 10);
  const next = fleet
    .timeOf(first + fleet.BUCKETS_PER_DAY)
    .toISOString()
    .slice(0, 10);
  const table = `flow_history_${date.replaceAll('-', '')}`;
  await connect(async (client) => {
    await client.query("SET TimeZone = 'UTC'; BEGIN");
    await client.query(
      `CREATE TABLE ${table} (LIKE flow_history INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 80)`,
    );
    await client.query(historyOf(table), [fleet.START, first, first + fleet.BUCKETS_PER_DAY - 1]);
    await client.query(`ALTER TABLE ${table} ADD PRIMARY KEY (host_id, flow_id, bucket, epoch)`);
    await client.query('COMMIT');
    await client.query(
      `ALTER TABLE flow_history ATTACH PARTITION ${table} FOR VALUES FROM ('${date}') TO ('${next}')`,
    );
    await client.query('SELECT ensure_history_partition($1::date)', [date]);
    await client.query(daysOf(table), [date]);
    await client.query(
      'INSERT INTO bucket_lengths (host_id, day, seconds) SELECT host_id, $1::date, $2 FROM hosts',
      [date, fleet.BUCKET_SECONDS],
    );
  });
}
