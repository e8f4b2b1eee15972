import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { embeddedLayout } from '../../src/cmdb/embedded/layout.ts';
import { runningPostmaster } from '../../src/cmdb/embedded/postmaster-pid.ts';
import type { EmbeddedServer } from '../../src/cmdb/embedded/server.ts';
import { CmdbUnavailable } from '../../src/cmdb/errors.ts';
import { CmdbWriter } from '../../src/cmdb/writer.ts';
import type { FlushBatch } from '../../src/flow/records.ts';
import { batch, bucket, flow, NOON } from '../support/batches.ts';
import {
  silentLog,
  startTestEmbedded,
  temporaryDirectory,
  withClient,
} from '../support/postgres.ts';
import { childrenOf, eventually } from '../support/processes.ts';

const FLOWS = 8_000;

/** Totals grow with every round, so that a lost or doubled flush would show. */
function round(number: number): FlushBatch {
  const flows = Array.from({ length: FLOWS }, (_, index) =>
    flow({
      flowId: String(index),
      lastSeen: new Date(NOON.getTime() + number),
      buckets: [bucket({ opened: number })],
    }),
  );
  return batch({ at: new Date(NOON.getTime() + number), flows });
}

describe('a server killed in the middle of a write', () => {
  let dataDir = '';
  let server: EmbeddedServer;
  before(async () => {
    dataDir = await temporaryDirectory();
    server = await startTestEmbedded(dataDir);
  });
  after(async () => {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  const cluster = () => embeddedLayout(dataDir, process.geteuid?.() === 0).cluster;
  const totals = async () => {
    const sql = `SELECT count(*)::int AS rows, min(opened)::int AS least, max(opened)::int AS most
                 FROM flow_history`;
    return (await withClient(server.config, (client) => client.query(sql))).rows[0];
  };

  it('loses nothing that was acknowledged, and takes the flush again', async () => {
    const writer = new CmdbWriter({ config: server.config, log: silentLog });
    let refused = 0;
    try {
      await writer.write(round(1));
      for (const [index, delayMs] of [5, 40, 90, 160, 240].entries()) {
        const number = index + 2;
        const pid = runningPostmaster(cluster());
        assert.ok(pid);
        const outcome = writer.write(round(number)).then(
          () => undefined,
          (error: unknown) => error,
        );
        await sleep(delayMs);
        for (const victim of [pid, ...childrenOf(pid)]) process.kill(victim, 'SIGKILL');
        const error = await outcome;
        if (error !== undefined) {
          assert.ok(error instanceof CmdbUnavailable, String(error));
          refused++;
        }
        await eventually(
          () => runningPostmaster(cluster()) !== pid && totals().catch(() => undefined),
        );
        const { rows, least, most } = await totals();
        assert.equal(rows, FLOWS);
        assert.equal(least, most, 'all of a flush or nothing');
        assert.ok(
          error === undefined ? least === number : least === number || least === number - 1,
        );
        await writer.write(round(number));
        assert.deepEqual(await totals(), { rows: FLOWS, least: number, most: number });
      }
    } finally {
      await writer.close();
    }
    assert.ok(refused > 0, 'no write was hit');
  });

  it('comes back by itself when one of its processes crashes', async () => {
    const writer = new CmdbWriter({ config: server.config, log: silentLog });
    try {
      const outcome = writer.write(round(20)).catch((error: unknown) => error);
      await sleep(60);
      const pid = runningPostmaster(cluster());
      assert.ok(pid);
      const [victim] = childrenOf(pid).slice(-1);
      assert.ok(victim);
      process.kill(victim, 'SIGKILL');
      await outcome;
      await eventually(() => writer.write(round(21)).catch(() => undefined), { timeoutMs: 20_000 });
      assert.deepEqual(await totals(), { rows: FLOWS, least: 21, most: 21 });
    } finally {
      await writer.close();
    }
  });
});
