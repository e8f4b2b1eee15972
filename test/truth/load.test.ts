/**
 * Load against ground truth: short-lived processes that connect at a high rate, each connection
 * logged by both ends, and `ttracerd` with a CMDB. Nothing may be missed, invented, or put down to
 * another process.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { after, before, describe, it, type TestContext } from 'node:test';
import { Cleanup } from '../support/cleanup.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';
import { isExact, isExactButForNames, type Verdict } from './judge.ts';
import { besideBuild, judgeLoad, type Load } from './load.ts';
import { LONGER, SHORT } from './loads.ts';
import { report } from './report.ts';
import { cmdbStore, type Rung, type Store } from './watch.ts';

describe('load', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  let store: Store;
  before(async () => {
    store = cleanup.keep(await cmdbStore(), ({ postgres }) => postgres.stop());
  });
  after(() => cleanup.run());

  const judged = async (test: TestContext, rung: Rung, load: Load): Promise<Verdict> => {
    const directory = await mkdtemp(besideBuild());
    try {
      const played = await judgeLoad({ rung, load, store, directory });
      report({ case: test.name, ...played });
      test.diagnostic(`${played.rate} connections/s, lost ${played.lost}`);
      return played.verdict;
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  };

  const assertExact = (verdict: Verdict) => {
    assert.deepEqual(verdict.mismatches.slice(0, 10), []);
    assert.ok(isExact(verdict));
    assert.equal(verdict.edges.found, verdict.edges.of);
    assert.equal(verdict.precision.found, verdict.precision.of);
    assert.ok(verdict.edges.of > 0);
  };

  it('1,000 connections/s by 100 processes/s for 20 s, exactly', async (test) => {
    assertExact(await judged(test, 'tracepoint', SHORT));
  });

  it('5,000 connections/s, all accounted for', async (test) => {
    const load = { ...SHORT, servers: 8, connectionsPerSecond: 5_000, seconds: 10 };
    const verdict = await judged(test, 'tracepoint', load);
    assert.equal(verdict.unaccounted, 0);
    assert.equal(verdict.wrongProcess, 0);
    assert.equal(verdict.invented, 0);
    assert.equal(verdict.edges.found, verdict.edges.of);
  });

  it('polling: connections of a second and more, with their processes', async (test) => {
    assertExact(await judged(test, 'poll', LONGER));
  });

  it('polling: 1,000 shorter connections/s, all endpoints, no wrong process', async (test) => {
    const verdict = await judged(test, 'poll', { ...SHORT, seconds: 10 });
    assert.equal(verdict.endpoints.found, verdict.endpoints.of);
    assert.equal(verdict.wrongProcess, 0);
    assert.equal(verdict.unaccounted, 0);
    assert.ok(isExactButForNames(verdict), JSON.stringify(verdict.wrongTotals.slice(0, 10)));
  });
});
