import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { collectMetrics, healthOf } from '../../../src/agent/metrics.ts';
import { exposition, type Metric, serveMetrics } from '../../../src/agent/metrics-server.ts';
import { UserError } from '../../../src/common/exit-codes.ts';
import type { ReportedEvent } from '../../../src/events/event.ts';
import { losses } from './fakes.ts';

const WATCHING = { mode: 'stream', attach: 'tracepoint', note: '' } as const;

function report(): ReportedEvent {
  return {
    kind: 'reported',
    atMs: 0,
    snapshot: true,
    partial: false,
    sockets: 12,
    namespaces: 1,
    losses: losses({ ringLost: 2n ** 60n }),
    generation: 0n,
  };
}

const SOURCES = {
  agent: {
    lastReport: report(),
    watchingNow: WATCHING,
    lastWriteMs: 1_500,
    outage: { kind: 'disk-full' },
  },
  supervisor: { restarts: 2 },
  table: { size: 3, waiting: 13, overflowed: 4n, unknownDirection: 5n },
  attributor: { unattributed: 6 },
  namer: { stats: { cached: 7 } },
  coverage: { dropped: 8 },
  ledger: { droppedBuckets: 9, coarsenedBuckets: 10, rejectedFlows: 11 },
  remains: { spool: { lost: 12 } },
} as unknown as Parameters<typeof collectMetrics>[0];

describe('the exposition', () => {
  it('follows the text format 0.0.4', () => {
    const metrics: Metric[] = [
      { name: 'a_total', type: 'counter', help: 'One\\two\nthree "four".', value: 2n ** 63n },
      {
        name: 'b',
        type: 'gauge',
        help: 'B.',
        value: 0.5,
        labels: { x: 'a\\b"c\nd\te', y: '' },
      },
    ];
    assert.equal(
      exposition(metrics),
      [
        '# HELP a_total One\\\\two\\nthree "four".',
        '# TYPE a_total counter',
        'a_total 9223372036854775808',
        '# HELP b B.',
        '# TYPE b gauge',
        'b{x="a\\\\b\\"c\\nd\te",y=""} 0.5',
        '',
      ].join('\n'),
    );
  });

  it('has each metric once, under a valid name', () => {
    const metrics = collectMetrics(SOURCES);
    const names = metrics.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { name, type } of metrics) {
      assert.match(name, /^ttracer_[a-z_]+$/);
      assert.equal(name.endsWith('_total'), type === 'counter', name);
    }
  });

  it('shows what the agent knows', () => {
    const text = exposition(collectMetrics(SOURCES));
    for (const line of [
      'ttracer_watching{mode="stream",attach="tracepoint"} 1',
      'ttracer_last_write_seconds 1.5',
      'ttracer_sockets 12',
      'ttracer_ring_lost_total 1152921504606846976',
      'ttracer_helper_restarts_total 2',
      'ttracer_flows_overflowed_total 4',
      'ttracer_coverage_dropped_total 8',
      'ttracer_buckets_dropped_total 9',
      'ttracer_buckets_coarsened_total 10',
      'ttracer_flows_rejected_total 11',
      'ttracer_spool_lost_total 12',
      'ttracer_waiting_buckets 13',
      'ttracer_cmdb_up{reason="disk-full"} 0',
    ]) {
      assert.ok(text.split('\n').includes(line), line);
    }
  });

  it('shows zeros before the first report', () => {
    const agent = { lastReport: null, watchingNow: null, lastWriteMs: null, outage: null };
    const text = exposition(collectMetrics({ ...SOURCES, agent }));
    assert.match(text, /^ttracer_watching\{mode="none",attach="none"\} 0$/m);
    assert.match(text, /^ttracer_ring_lost_total 0$/m);
  });
});

describe('health', () => {
  const agent = { watchingNow: WATCHING, lastWriteMs: 0, flushIntervalMs: 10_000, outage: null };

  it('is good while sockets are watched and flushes taken', () => {
    assert.deepEqual(healthOf(agent, 70_000), { ok: true, text: 'ok' });
  });

  it('is bad otherwise, and says why', () => {
    assert.deepEqual(healthOf(agent, 70_001), {
      ok: false,
      text: 'the CMDB took no flush for 70 s',
    });
    const outage = { kind: 'read-only', reason: 'it is a standby', sinceMs: 0 } as const;
    assert.deepEqual(healthOf({ ...agent, outage }, 70_001), {
      ok: false,
      text: 'the CMDB took no flush for 70 s (read-only: it is a standby)',
    });
    assert.equal(healthOf({ ...agent, watchingNow: null }, 0).ok, false);
    assert.deepEqual(healthOf({ ...agent, lastWriteMs: null }, 0), {
      ok: false,
      text: 'the CMDB has not taken a flush yet',
    });
  });
});

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('the metrics server', () => {
  it('serves metrics and health until it is closed', async () => {
    const port = await freePort();
    let ok = true;
    const close = await serveMetrics(
      { host: '127.0.0.1', port },
      () => collectMetrics(SOURCES),
      () => ({ ok, text: ok ? 'ok' : 'bad' }),
    );
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      return [response.status, await response.text()] as const;
    };
    try {
      const [status, text] = await get('/metrics?x=1');
      assert.equal(status, 200);
      assert.equal(text, exposition(collectMetrics(SOURCES)));
      assert.deepEqual(await get('/healthz'), [200, 'ok\n']);
      ok = false;
      assert.deepEqual(await get('/healthz'), [503, 'bad\n']);
      assert.equal((await get('/'))[0], 404);
      await assert.rejects(
        serveMetrics(
          { host: '127.0.0.1', port },
          () => [],
          () => ({ ok, text: '' }),
        ),
        (error: unknown) =>
          error instanceof UserError &&
          error.exitCode === 2 &&
          error.message.startsWith(`--listen: can't listen on 127.0.0.1 port ${port}: `),
      );
    } finally {
      close();
    }
    await assert.rejects(get('/healthz'));
  });
});
