/** Fifty agents begin with a database that is empty, and go on while a day ends. */
import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { embeddedLayout } from '../../src/cmdb/embedded/layout.ts';
import type { EmbeddedServer } from '../../src/cmdb/embedded/server.ts';
import { Actor } from '../support/actor.ts';
import { hostId } from '../support/batches.ts';
import { startTestEmbedded, temporaryDirectory, withClient } from '../support/postgres.ts';
import { AGENTS, PEERS, ROUNDS, rowsOf } from '../support/rollover.ts';
import { REPOSITORY } from '../support/run.ts';

const PROGRAM = join(REPOSITORY, 'dist/test/support/programs/flush-agents.js');
const PROCESSES = 5;
const CONNECTIONS = 80;
/** How a database says that it has no schema yet. */
const FRESH = /relation "schema_migrations" does not exist/;

describe('fifty agents, one fresh database, midnight', () => {
  let dataDir = '';
  let server: EmbeddedServer;
  before(async () => {
    dataDir = await temporaryDirectory();
    const small = await startTestEmbedded(dataDir);
    await withClient(small.config, (client) =>
      client.query(`ALTER SYSTEM SET max_connections = ${CONNECTIONS}`),
    );
    await small.stop();
    server = await startTestEmbedded(dataDir);
  });
  after(async () => {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  const layout = () => embeddedLayout(dataDir, process.geteuid?.() === 0);
  const complaints = async () => {
    const log = await readFile(layout().log, 'utf8');
    return log
      .split('\n')
      .filter((line) => /ERROR|PANIC|deadlock|already exists/.test(line))
      .filter((line) => !FRESH.test(line));
  };
  const fresh = async (name: string): Promise<pg.ClientConfig> => {
    await withClient(server.config, (client) =>
      client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`),
    );
    return { ...server.config, database: name };
  };
  /** All agents at once, in several processes; gives how often one had to try again. */
  const flush = async (config: pg.ClientConfig, signal: AbortSignal): Promise<number> => {
    const share = AGENTS / PROCESSES;
    const encoded = Buffer.from(JSON.stringify(config)).toString('base64url');
    const processes = Array.from(
      { length: PROCESSES },
      () => new Actor({ wrapper: [process.execPath], program: PROGRAM }),
    );
    // They try again for as long as they run: one that outlives its test would never end.
    const end = () => Promise.all(processes.map((one) => one.end()));
    signal.addEventListener('abort', () => void end());
    try {
      const done = await Promise.all(
        processes.map((one, n) => one.do(`run ${n * share + 1} ${(n + 1) * share} ${encoded}`)),
      );
      assert.deepEqual(
        done.map(([written]) => written),
        Array(PROCESSES).fill(share),
      );
      return done.reduce((sum, [, retried = 0]) => sum + retried, 0);
    } finally {
      await end();
    }
  };
  const verify = async (config: pg.ClientConfig) => {
    await withClient(config, async (client) => {
      for (let agent = 1; agent <= AGENTS; agent++) {
        const { rows } = await client.query<{ row: string }>(SELECT_ROWS, [hostId(agent)]);
        assert.deepEqual(rows.map(({ row }) => row).sort(), rowsOf(agent), `agent ${agent}`);
      }
      const { rows } = await client.query(SELECT_COUNTS);
      assert.deepEqual(rows, [
        {
          history: AGENTS * PEERS * (ROUNDS / 2),
          flows: AGENTS * PEERS,
          hosts: AGENTS,
          coverage: AGENTS,
          migrations: rows[0]?.versions,
          versions: rows[0]?.versions,
        },
      ]);
      const days = await client.query<{ partition: string }>(SELECT_PARTITIONS);
      assert.deepEqual(
        days.rows.map(({ partition }) => partition),
        ['flow_history_20260301', 'flow_history_20260302'],
      );
    });
  };

  it('lose no row, deadlock nowhere and make nothing twice', { timeout: 200_000 }, async ({
    signal,
  }) => {
    const config = await fresh('undisturbed');
    const retried = await flush(config, signal);
    assert.deepEqual(await complaints(), []);
    assert.equal(retried, 0);
    await verify(config);
  });

  it('lose no row either when their connections are cut', { timeout: 200_000 }, async ({
    signal,
  }) => {
    const config = await fresh('disturbed');
    const failed = new AbortController();
    let isDone = false;
    const cutting = (async () => {
      let cut = 0;
      while (!isDone) {
        await sleep(150);
        const sql = `SELECT count(pg_terminate_backend(pid))::int AS cut FROM (SELECT pid FROM pg_stat_activity
                     WHERE datname = 'disturbed' AND application_name = 'ttracerd' ORDER BY random() LIMIT 5) AS victims`;
        const { rows } = await withClient(server.config, (client) =>
          client.query<{ cut: number }>(sql),
        );
        cut += rows[0]?.cut ?? 0;
      }
      return cut;
    })();
    cutting.catch(() => failed.abort());
    const retried = await flush(config, AbortSignal.any([signal, failed.signal])).finally(() => {
      isDone = true;
    });
    const cut = await cutting;
    assert.ok(cut > 20 && retried > 20, `${cut} cut, ${retried} retried`);
    assert.deepEqual(await complaints(), []);
    await verify(config);
  });
});

const SELECT_ROWS = `
SELECT concat_ws(' ', flow_id, to_char(bucket AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), opened,
  open_max, open_now, failed_refused, bytes_to_passive, bytes_to_active) AS row
FROM flow_history WHERE host_id = $1`;
const SELECT_COUNTS = `
SELECT (SELECT count(*)::int FROM flow_history) AS history, (SELECT count(*)::int FROM flows) AS flows,
  (SELECT count(*)::int FROM hosts) AS hosts, (SELECT count(*)::int FROM coverage) AS coverage,
  (SELECT count(*)::int FROM schema_migrations) AS migrations,
  (SELECT count(DISTINCT version)::int FROM schema_migrations) AS versions`;
const SELECT_PARTITIONS = `
SELECT c.relname AS partition FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'flow_history'::regclass ORDER BY 1`;
