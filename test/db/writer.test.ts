import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { CmdbRejected, CmdbUnavailable } from '../../src/cmdb/errors.ts';
import { CmdbWriter } from '../../src/cmdb/writer.ts';
import type { FlowBucketRecord, FlushBatch } from '../../src/flow/records.ts';
import {
  batch,
  bucket,
  coverage,
  flow,
  hostId,
  NOON,
  passiveNode,
  processRecord,
} from '../support/batches.ts';
import {
  silentLog,
  startTestPostgres,
  type TestPostgres,
  withClient,
} from '../support/postgres.ts';

const TABLES = [
  'hosts',
  'host_addresses',
  'containers',
  'processes',
  'passive_nodes',
  'flows',
  'flow_history',
  'coverage',
];

function later(ms: number): Date {
  return new Date(NOON.getTime() + ms);
}

describe('CmdbWriter', () => {
  let postgres: TestPostgres;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(() => postgres.stop());

  const withWriter = async (
    config: pg.ClientConfig,
    use: (writer: CmdbWriter) => Promise<void>,
  ): Promise<void> => {
    const writer = new CmdbWriter({ config, log: silentLog });
    try {
      await use(writer);
    } finally {
      await writer.close();
    }
  };
  const write = async (config: pg.ClientConfig, ...batches: FlushBatch[]): Promise<void> =>
    withWriter(config, async (writer) => {
      for (const one of batches) await writer.write(one);
    });
  const dump = async (config: pg.ClientConfig): Promise<Record<string, unknown[]>> => {
    const tables: Record<string, unknown[]> = {};
    for (const table of TABLES) {
      tables[table] = await postgres.query(config, `SELECT * FROM ${table} ORDER BY 1, 2, 3`);
    }
    return tables;
  };

  it('migrates an empty database and writes one of everything', async () => {
    const config = await postgres.createDatabase({ migrated: false });
    await withWriter(config, async (writer) => {
      const { flows, historyRows, hostIsNew, durationMs } = await writer.write(batch());
      assert.deepEqual(
        { flows, historyRows, hostIsNew },
        { flows: 1, historyRows: 1, hostIsNew: true },
      );
      assert.ok(durationMs > 0);
    });
    const tables = await dump(config);
    for (const table of TABLES) assert.equal(tables[table]?.length, 1, table);
    assert.deepEqual(tables['flows']?.[0], {
      host_id: hostId(1),
      flow_id: '11',
      edge_id: '12',
      side: 'A',
      proto: 6,
      process_id: '5',
      scope: '',
      active_address: '10.0.0.1',
      passive_address: '10.0.0.2',
      passive_port: 80,
      found_by: 1,
      first_seen: NOON,
      last_seen: NOON,
    });
    assert.deepEqual(tables['flow_history']?.[0], {
      host_id: hostId(1),
      flow_id: '11',
      bucket: NOON,
      epoch: '1772366400000',
      bucket_seconds: 300,
      opened: '3',
      open_at_start: 1,
      open_max: 2,
      open_now: 1,
      failed_refused: '0',
      failed_timed_out: '0',
      failed_unreachable: '0',
      failed_other: '0',
      bytes_to_passive: '100',
      bytes_to_active: '200',
      retransmits: '0',
    });
  });

  it('changes nothing when a flush is written again', async () => {
    const config = await postgres.createDatabase();
    await write(config, batch());
    const once = await dump(config);
    const positions = 'SELECT ctid, xmin FROM flows UNION ALL SELECT ctid, xmin FROM flow_history';
    const untouched = await postgres.query(config, positions);
    await withWriter(config, async (writer) => {
      for (let round = 0; round < 3; round++) await writer.write(batch());
    });
    assert.deepEqual(await dump(config), once);
    assert.deepEqual(await postgres.query(config, positions), untouched);
  });

  it('keeps the largest totals, what was open last, and the widest time', async () => {
    const config = await postgres.createDatabase();
    const report = (ms: number, changes: Partial<FlowBucketRecord>, found: 'stream' | 'snapshot') =>
      batch({
        at: later(ms),
        flows: [
          flow({
            firstSeen: later(-ms),
            lastSeen: later(ms),
            foundBy: [found],
            buckets: [bucket(changes)],
          }),
        ],
      });
    await write(
      config,
      report(1_000, { opened: 10, openNow: 5, openMax: 6, bytesToActive: 2n ** 60n }, 'stream'),
      report(9_000, { opened: 12, openNow: 0, failedRefused: 2 }, 'snapshot'),
      report(5_000, { opened: 11, openNow: 3 }, 'stream'),
    );
    const { flows, flow_history: history, hosts } = await dump(config);
    const [onlyFlow] = flows as { found_by: number; first_seen: Date; last_seen: Date }[];
    assert.deepEqual(
      [onlyFlow?.found_by, onlyFlow?.first_seen, onlyFlow?.last_seen],
      [3, later(-9_000), later(9_000)],
    );
    const [totals] = history as Record<string, unknown>[];
    assert.deepEqual(
      [totals?.['opened'], totals?.['open_now'], totals?.['open_max']],
      ['12', 3, 6],
    );
    assert.deepEqual(
      [totals?.['failed_refused'], totals?.['bytes_to_active']],
      ['2', String(2n ** 60n)],
    );
    assert.deepEqual((hosts as { last_seen: Date }[])[0]?.last_seen, later(9_000));
  });

  it('does not let a late flush undo newer names', async () => {
    const config = await postgres.createDatabase();
    const named = (name: string, at: Date) => batch({ at, processes: [processRecord({ name })] });
    await write(config, named('new', later(1_000)), named('old', NOON));
    const [row] = await postgres.query(config, 'SELECT name, first_seen, last_seen FROM processes');
    assert.deepEqual(row, { name: 'new', first_seen: NOON, last_seen: later(1_000) });
  });

  it('keeps the totals of each agent epoch apart', async () => {
    const config = await postgres.createDatabase();
    await write(config, batch({ epoch: 1 }), batch({ epoch: 2 }));
    const sql = 'SELECT epoch, opened FROM flow_history ORDER BY epoch';
    assert.deepEqual(await postgres.query(config, sql), [
      { epoch: '1', opened: '3' },
      { epoch: '2', opened: '3' },
    ]);
  });

  it('takes the same thing twice in one flush', async () => {
    const config = await postgres.createDatabase();
    await write(
      config,
      batch({
        addresses: ['::1', '0:0:0:0:0:0:0:1', 'fe80::1%a', 'fe80::1%b'].map((address) => ({
          address,
          netns: '',
          hostLocal: true,
          firstSeen: NOON,
          lastSeen: NOON,
        })),
        containers: [
          { containerId: 'c', runtime: 'a' },
          { containerId: 'c', runtime: 'b' },
        ],
        processes: [processRecord(), processRecord()],
        passiveNodes: [passiveNode(), passiveNode()],
        flows: [flow(), flow({ foundBy: ['destroy'] })],
        coverage: [coverage(), coverage()],
      }),
    );
    const tables = await dump(config);
    assert.equal(tables['host_addresses']?.length, 2);
    for (const table of TABLES.slice(2)) assert.equal(tables[table]?.length, 1, table);
  });

  it('puts buckets around midnight into the partitions of their UTC days', async () => {
    const config = await postgres.createDatabase();
    const starts = ['2026-02-28T23:55:00Z', '2026-03-01T00:00:00Z', '2026-03-01T23:59:59.999Z'];
    const buckets = starts.map((start) => bucket({ bucketStart: new Date(start) }));
    await withWriter({ ...config, options: '-c timezone=Asia/Tokyo' }, async (writer) => {
      await writer.write(batch({ flows: [flow({ buckets })] }));
      const next = bucket({ bucketStart: new Date('2026-03-02T00:00:00Z') });
      await writer.write(batch({ flows: [flow({ buckets: [next] })] }));
    });
    const sql = `SELECT tableoid::regclass::text AS partition, count(*)::int AS rows
                 FROM flow_history GROUP BY 1 ORDER BY 1`;
    assert.deepEqual(await postgres.query(config, sql), [
      { partition: 'flow_history_20260228', rows: 1 },
      { partition: 'flow_history_20260301', rows: 2 },
      { partition: 'flow_history_20260302', rows: 1 },
    ]);
  });

  it('makes the partition again when it was pruned meanwhile', async () => {
    const config = await postgres.createDatabase();
    await withWriter(config, async (writer) => {
      await writer.write(batch());
      await withClient(config, (client) => client.query('DROP TABLE flow_history_20260301'));
      await assert.rejects(writer.write(batch()), CmdbUnavailable);
      assert.equal((await writer.write(batch())).historyRows, 1);
    });
  });

  it('stores hostile strings unharmed', async () => {
    const config = await postgres.createDatabase();
    const hostile = [
      `'; DROP TABLE flows; --`,
      'tab\tnew\nline\r\\N\\.\\',
      '{"a",NULL}',
      'NULL',
      '',
      'ü☃😀',
      '\u0001\u001b[31m',
      '"',
    ];
    const processes = hostile.map((name, index) =>
      processRecord({ processId: String(index), name, exe: `/${name}`, containerId: name }),
    );
    const flows = hostile.map((scope, index) => flow({ flowId: String(index), scope }));
    const notes = hostile.map((note, index) => coverage({ from: later(index), note }));
    await write(config, batch({ processes, flows, coverage: notes, passiveNodes: [] }));
    const names = await postgres.query(
      config,
      'SELECT name, container_id FROM processes ORDER BY process_id',
    );
    assert.deepEqual(
      names,
      hostile.map((name) => ({ name, container_id: name })),
    );
    const scopes = await postgres.query(config, 'SELECT scope FROM flows ORDER BY flow_id');
    assert.deepEqual(
      scopes,
      hostile.map((scope) => ({ scope })),
    );
    const stored = await postgres.query(config, 'SELECT note FROM coverage ORDER BY from_time');
    assert.deepEqual(
      stored,
      hostile.map((note) => ({ note })),
    );
  });

  it('strips NUL and mends half surrogate pairs, by COPY and by parameter', async () => {
    const config = await postgres.createDatabase();
    const name = 'a\0b\ud800c';
    await write(
      config,
      batch({ processes: [processRecord({ name })], flows: [flow({ scope: name })] }),
    );
    const sql = 'SELECT name, scope FROM processes, flows';
    assert.deepEqual(await postgres.query(config, sql), [
      { name: 'ab\ufffdc', scope: 'ab\ufffdc' },
    ]);
  });

  it('writes concurrently from many hosts that share all peers', async () => {
    const config = await postgres.createDatabase();
    const peers = Array.from({ length: 300 }, (_, index) =>
      flow({
        flowId: String((index * 7919) % 300),
        edgeId: String(index),
        passiveAddress: `10.1.${index >> 8}.${index & 255}`,
      }),
    );
    const agents = Array.from({ length: 12 }, async (_, agent) => {
      // Two agents each claim the same host, as clones do.
      const host = 1 + (agent >> 1);
      const flows = agent % 2 ? peers : [...peers].reverse();
      await withWriter(config, async (writer) => {
        for (let round = 0; round < 4; round++) {
          await writer.write(batch({ at: later(round), flows }, host));
        }
      });
    });
    await Promise.all(agents);
    const sql = `SELECT count(*)::int AS flows, (SELECT sum(opened)::int FROM flow_history) AS opened FROM flows`;
    assert.deepEqual(await postgres.query(config, sql), [{ flows: 1800, opened: 5400 }]);
  });

  it('makes the partitions of new days from many agents at once', async () => {
    const config = await postgres.createDatabase();
    const day = (offset: number) =>
      bucket({ bucketStart: new Date(NOON.getTime() + offset * 86_400_000) });
    const flows = [flow({ buckets: Array.from({ length: 5 }, (_, index) => day(index)) })];
    const hosts = Array.from({ length: 14 }, (_, index) => index + 1);
    await Promise.all(hosts.map((host) => write(config, batch({ flows }, host))));
    const [row] = await postgres.query(config, 'SELECT count(*)::int AS rows FROM flow_history');
    assert.deepEqual(row, { rows: 70 });
  });

  it('rejects content no server would take, and then goes on', async () => {
    const config = await postgres.createDatabase();
    await withWriter(config, async (writer) => {
      const bad = [flow({ passiveAddress: 'nonsense' }), flow({ flowId: 'x' })];
      for (const one of bad) {
        await assert.rejects(writer.write(batch({ flows: [one] })), CmdbRejected);
      }
      const broken = batch({
        flows: [flow(), flow({ flowId: '9', firstSeen: new Date(Number.NaN) })],
      });
      await assert.rejects(writer.write(broken), CmdbRejected);
      assert.deepEqual(await postgres.query(config, 'SELECT 1 FROM hosts'), []);
      assert.equal((await writer.write(batch())).flows, 1);
    });
  });

  it('asks for everything when the database lost what flows refer to', async () => {
    const config = await postgres.createDatabase();
    await withWriter(config, async (writer) => {
      await writer.write(batch());
      await withClient(config, (client) => client.query('TRUNCATE hosts CASCADE'));
      const onlyChanges = batch({ at: later(1), processes: [] });
      await assert.rejects(
        writer.write(onlyChanges),
        (error) => error instanceof CmdbUnavailable && error.resendAll,
      );
      const { hostIsNew } = await writer.write(batch({ at: later(2) }));
      assert.equal(hostIsNew, true);
      assert.equal((await writer.write(batch({ at: later(3) }))).hostIsNew, false);
    });
  });

  it('reconnects after its session was ended', async () => {
    const config = await postgres.createDatabase();
    await withWriter(config, async (writer) => {
      await writer.write(batch());
      const sql =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ttracerd'";
      await withClient(config, (client) => client.query(sql));
      // Idle sessions learn of it when the socket closes, busy ones by the failing statement.
      await writer.write(batch()).catch((error: unknown) => {
        assert.ok(error instanceof CmdbUnavailable, String(error));
      });
      assert.equal((await writer.write(batch())).flows, 1);
    });
  });

  it('can be closed while the server holds a write up', async () => {
    const config = await postgres.createDatabase();
    const writer = new CmdbWriter({ config, log: silentLog });
    await writer.write(batch());
    await withClient(config, async (client) => {
      await client.query('BEGIN; LOCK TABLE hosts IN ACCESS EXCLUSIVE MODE');
      const held = assert.rejects(writer.write(batch({ at: later(1) })), CmdbUnavailable);
      const startedMs = performance.now();
      await writer.close(300);
      await held;
      assert.ok(performance.now() - startedMs < 2_000);
    });
  });

  it('says that the CMDB is unavailable when nobody answers, and after closing', async () => {
    const writer = new CmdbWriter({ config: { host: '/nonexistent', port: 1 }, log: silentLog });
    await assert.rejects(writer.write(batch()), CmdbUnavailable);
    await writer.close();
    await assert.rejects(writer.write(batch()), /closed/);
  });
});
