/**
 * Load against ground truth: short-lived processes that connect at a high rate, each connection
 * logged by both ends, and `ttracerd` with a CMDB. Nothing may be missed, invented, or put down to
 * another process.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { Cleanup } from '../support/cleanup.ts';
import { Namespace } from '../support/namespace.ts';
import { REPOSITORY, SKIP_UNLESS_ROOT } from '../support/run.ts';
import { isExact, isExactButForNames, judge, type Verdict } from './judge.ts';
import { type Load, makeLoad } from './load.ts';
import { report } from './report.ts';
import { cmdbStore, type Rung, type Store, Watch } from './watch.ts';

const SHORT: Load = {
  address: '127.0.0.1',
  servers: 4,
  clients: 16,
  connectionsPerSecond: 1_000,
  processesPerSecond: 100,
  seconds: 20,
  lifetimeMs: 0,
};
const SETTLE_MS = 15_000;

describe('load', { skip: SKIP_UNLESS_ROOT }, () => {
  let store: Store & { readonly kind: 'cmdb' };
  let cleanup: Cleanup;
  before(async () => {
    cleanup = new Cleanup();
    store = cleanup.keep(await cmdbStore(), ({ postgres }) => postgres.stop());
  });
  after(() => cleanup.run());

  /** Runs a load under a tracer's eyes and judges what it stored. */
  const judged = async (test: TestContext, rung: Rung, load: Load): Promise<Verdict> => {
    const scene = new Cleanup();
    try {
      const namespace = scene.keep(await Namespace.create(), (it) => it.delete());
      // Beside the build: what is linked must be on its file system.
      const directory = scene.keep(await mkdtemp(join(REPOSITORY, 'build', 'truth-')), (it) =>
        rm(it, { recursive: true, force: true }),
      );
      const { wrapper } = namespace;
      const argv = ['--netns', 'own'];
      const watch = await Watch.start({ rung, store, directory, wrapper, argv });
      scene.keep(watch, (it) => it.kill());
      await watch.ready();
      const { truth, rate, processes } = await makeLoad(load, join(directory, 'load'), wrapper);
      await watch.settled(({ flows }) => judge(truth, flows).missing === 0, SETTLE_MS);
      const { flows, lost } = await watch.stop();
      const verdict = judge(truth, flows, lost);
      report({ case: test.name, rung, verdict, lost, rate: Math.round(rate), processes });
      test.diagnostic(`${rate.toFixed(0)} connections/s, ${truth.length} ends, lost ${lost}`);
      return verdict;
    } finally {
      await scene.run();
    }
  };

  const assertExact = (verdict: Verdict) => {
    assert.deepEqual(verdict.mismatches.slice(0, 10), []);
    assert.ok(isExact(verdict));
    assert.equal(verdict.edges.found, verdict.edges.of);
    assert.equal(verdict.precision.found, verdict.precision.of);
    assert.ok(verdict.edges.of > 0);
  };

  it('tracepoint: 1,000 connections/s by 100 processes/s for 20 s, exactly', async (test) => {
    assertExact(await judged(test, 'tracepoint', SHORT));
  });

  it('tracepoint: 5,000 connections/s, all accounted for', async (test) => {
    const load = { ...SHORT, servers: 8, connectionsPerSecond: 5_000, seconds: 10 };
    const verdict = await judged(test, 'tracepoint', load);
    assert.equal(verdict.unaccounted, 0);
    assert.equal(verdict.wrongProcess, 0);
    assert.equal(verdict.invented, 0);
    assert.equal(verdict.edges.found, verdict.edges.of);
  });

  it('poll: connections of a second and more, with their processes', async (test) => {
    const load = { ...SHORT, connectionsPerSecond: 200, processesPerSecond: 40, lifetimeMs: 1_300 };
    const verdict = await judged(test, 'poll', { ...load, seconds: 10 });
    assert.equal(verdict.edges.found, verdict.edges.of);
    assertExact(verdict);
  });

  it('poll: 1,000 shorter connections/s, all endpoints, no wrong process', async (test) => {
    const verdict = await judged(test, 'poll', { ...SHORT, seconds: 10 });
    assert.equal(verdict.endpoints.found, verdict.endpoints.of);
    assert.equal(verdict.wrongProcess, 0);
    assert.equal(verdict.unaccounted, 0);
    assert.ok(isExactButForNames(verdict), JSON.stringify(verdict.wrongTotals.slice(0, 10)));
  });
});
