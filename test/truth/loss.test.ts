/**
 * Bursts, and every buffer forced to overflow. Whatever is lost must be counted and stand in the
 * coverage, and connections that live must all be found again.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';
import { HELPER_PROGRAM } from '../support/tracer.ts';
import { isExact, judge, type Verdict } from './judge.ts';
import { besideBuild } from './load.ts';
import { report } from './report.ts';
import { LOOPBACK, Places, Scene } from './scene.ts';
import { cmdbStore, type Rung, type Store, Watch } from './watch.ts';

const SETTLE_MS = 20_000;

describe('burst and loss', { skip: SKIP_UNLESS_ROOT }, () => {
  const outer = new Cleanup();
  let store: Store;
  let cleanup: Cleanup;
  let scene: Scene;
  let watch: Watch;
  before(async () => {
    store = outer.keep(await cmdbStore(), ({ postgres }) => postgres.stop());
  });
  after(() => outer.run());
  beforeEach(async () => {
    cleanup = new Cleanup();
    const directory = cleanup.keep(await mkdtemp(besideBuild()), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    const places = await Places.create(cleanup);
    scene = cleanup.keep(new Scene(join(directory, 'scene'), places), (it) => it.end());
  });
  afterEach(() => cleanup.run());

  /** Starts the tracer in the scene's namespace, its helper with further arguments. */
  const start = async (rung: Rung, ...helperArgs: string[]): Promise<void> => {
    const directory = cleanup.keep(await mkdtemp(besideBuild()), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    const helper = join(directory, 'helper');
    writeFileSync(helper, `#!/bin/sh\nexec ${HELPER_PROGRAM} "$@" ${helperArgs.join(' ')}\n`);
    chmodSync(helper, 0o755);
    const { wrapper } = scene.places.home;
    const env = { TTRACER_HELPER: helper };
    const argv = ['--netns', 'own'];
    watch = await Watch.start({ rung, store, directory, wrapper, argv, env });
    cleanup.keep(watch, (it) => it.kill());
    await watch.ready();
  };

  /** The verdict once nothing is missing any more, or nothing more comes. */
  const judged = async (test: TestContext, rung: Rung): Promise<Verdict & { lost: number }> => {
    await watch.settled(({ flows }) => judge(scene.truth(), flows).missing === 0, SETTLE_MS);
    const { flows, lost } = await watch.stop();
    const verdict = judge(scene.truth(), flows, lost);
    report({ case: test.name, rung, verdict, lost });
    test.diagnostic(`lost ${lost}, missing ${verdict.missing} of ${verdict.happened}`);
    return { ...verdict, lost };
  };

  /** The helper does nothing while `work` is done. */
  const whileStopped = async (work: () => Promise<unknown>): Promise<void> => {
    const { helperPid } = watch.agent;
    process.kill(helperPid, 'SIGSTOP');
    try {
      await work();
    } finally {
      process.kill(helperPid, 'SIGCONT');
    }
  };

  /** So many processes connect, and keep it open. */
  const openEach = async (count: number, server: Actor, role = 'client'): Promise<void> => {
    const { fd, port } = await server.listen(LOOPBACK);
    const admitted = server.do(`admit ${fd} ${count}`);
    for (let i = 0; i < count; i++) {
      await scene.actor(`${role}-${i}`).do(`connect ${LOOPBACK} ${port}`);
    }
    await admitted;
  };

  for (const rung of ['tracepoint', 'poll'] as const) {
    it(`${rung}: 10,000 connections at once`, async (test) => {
      await start(rung);
      const [server, client] = [scene.actor('server'), scene.actor('client')];
      const { fd, port } = await server.listen(LOOPBACK, 4_096);
      await Promise.all([
        server.do(`admit ${fd} 10000`),
        client.do(`open ${LOOPBACK} ${port} 10000`),
      ]);
      const verdict = await judged(test, rung);
      assert.deepEqual(verdict.mismatches, []);
      assert.ok(isExact(verdict));
    });
  }

  it('tracepoint: the ring is full', async (test) => {
    await start('tracepoint', '--ring-bytes', '4096');
    const [server, parent] = [scene.actor('server'), scene.actor('parent')];
    const { fd, port } = await server.listen(LOOPBACK);
    // Room for ten announcements; who they are the kernel side also keeps elsewhere.
    await whileStopped(async () => {
      const served = server.do(`serve ${fd} 40 0`);
      for (let i = 0; i < 40; i++) {
        const program = scene.program(`short-${i}`);
        await parent.do(`spawn 1 ${program} hold ${LOOPBACK} ${port} 1 0`);
      }
      await served;
      await openEach(20, scene.actor('other-server'));
    });
    const verdict = await judged(test, 'tracepoint');
    assert.deepEqual(verdict.mismatches, []);
    assert.ok(isExact(verdict));
  });

  it('tracepoint: the flow map is full', async (test) => {
    await start('tracepoint', '--max-flows', '8');
    await openEach(40, scene.actor('server'));
    const verdict = await judged(test, 'tracepoint');
    assert.ok(verdict.lost > 0);
    assert.deepEqual(verdict.mismatches, []);
  });

  it('tracepoint: the socket map is full, and then no more', async (test) => {
    await start('tracepoint', '--max-sockets', '64');
    const [crowded, crowding] = [scene.actor('crowded-server'), scene.actor('crowding-client')];
    const { fd, port } = await crowded.listen(LOOPBACK);
    await Promise.all([crowded.do(`admit ${fd} 60`), crowding.do(`open ${LOOPBACK} ${port} 60`)]);
    await openEach(10, scene.actor('server'));
    await sleep(1_500);
    await Promise.all([crowded.do('drop'), crowding.do('drop')]);
    const verdict = await judged(test, 'tracepoint');
    assert.ok(verdict.lost > 0);
    assert.equal(verdict.unaccounted, 0);
    assert.equal(verdict.invented, 0);
    assert.equal(verdict.wrongProcess, 0);
    const live = verdict.mismatches.filter(({ what }) => !what.includes('crowd'));
    assert.deepEqual(live, []);
  });

  it('tracepoint: the helper is stopped for 10 s', async (test) => {
    await start('tracepoint');
    const [server, client] = [scene.actor('server'), scene.actor('client')];
    const { fd, port } = await server.listen(LOOPBACK);
    await whileStopped(() =>
      Promise.all([
        server.do(`serve ${fd} 1000 0`),
        client.do(`hold ${LOOPBACK} ${port} 1000 1`),
        openEach(10, scene.actor('other-server')),
        sleep(10_000),
      ]),
    );
    const verdict = await judged(test, 'tracepoint');
    assert.equal(verdict.unaccounted, 0);
    assert.equal(verdict.wrongProcess, 0);
    assert.equal(verdict.invented, 0);
    assert.equal(verdict.edges.found, verdict.edges.of);
  });

  it('poll: the queue of destroy notices is full', async (test) => {
    await start('poll', '--notice-bytes', '4096');
    const [server, client] = [scene.actor('server'), scene.actor('client')];
    const { fd, port } = await server.listen(LOOPBACK);
    await sleep(1_500);
    await whileStopped(async () => {
      await Promise.all([
        server.do(`serve ${fd} 500 0`),
        client.do(`hold ${LOOPBACK} ${port} 500 0`),
      ]);
      await openEach(10, scene.actor('live-server'), 'live-client');
    });
    const verdict = await judged(test, 'poll');
    assert.ok(verdict.lost > 0);
    assert.equal(verdict.unaccounted, 0);
    assert.equal(verdict.wrongProcess, 0);
    assert.equal(verdict.invented, 0);
    assert.deepEqual(
      verdict.mismatches.filter(({ what }) => what.includes('live-')),
      [],
    );
  });
});
