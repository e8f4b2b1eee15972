/** What is left of the counts when helper or agent are killed, or stopped in mid-load. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import {
  type CoverageJson,
  edgesTo,
  type GraphJson,
  type NamedEdge,
  Ttracerd,
  ttctlJson,
} from '../support/commands.ts';
import { freePort } from '../support/nginx.ts';
import { startTestPostgres, temporaryDirectory, urlOf } from '../support/postgres.ts';
import { eventually, processesWith } from '../support/processes.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';

const LONG_LIVED = 5;
/** Connections a second while something is killed. */
const PER_SECOND = 100;
const PAUSE_MS = 1_000 / PER_SECOND;
const FLUSH_MS = 1_000;
const FLUSH = ['--flush-interval', `${FLUSH_MS}ms`];

/** A server whose connections stay, and one whose connections come and go. */
class Load {
  readonly server = new Actor();
  readonly client = new Actor();
  readonly churner = new Actor();
  readonly busyServer = new Actor();
  stayPort = 0;
  busyPort = 0;
  readonly opened: number[] = [];
  #stayFd = 0;
  #busyFd = 0;

  async start(): Promise<void> {
    ({ fd: this.#stayFd, port: this.stayPort } = await this.server.listen('127.0.0.1'));
    ({ fd: this.#busyFd, port: this.busyPort } = await this.busyServer.listen('127.0.0.1'));
  }

  async openLongLived(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.opened.push(await this.client.one(`connect 127.0.0.1 ${this.stayPort}`));
      await this.server.do(`accept ${this.#stayFd}`);
    }
  }

  async closeLongLived(count: number): Promise<void> {
    for (const fd of this.opened.splice(0, count)) await this.client.do(`close ${fd}`);
  }

  /** Short connections, `PER_SECOND` at most; resolves when all are done. */
  async churn(count: number): Promise<void> {
    await Promise.all([
      this.busyServer.do(`serve ${this.#busyFd} ${count} 10`),
      this.churner.do(`churn 127.0.0.1 ${this.busyPort} ${count} 20 ${PAUSE_MS}`),
    ]);
  }

  async end(): Promise<void> {
    const all = [this.client, this.server, this.churner, this.busyServer];
    await Promise.all(all.map((actor) => actor.end()));
  }
}

function only(graph: GraphJson, port: number): NamedEdge {
  const [edge, ...others] = edgesTo(graph, port);
  assert.ok(edge, `no edge to port ${port}`);
  assert.deepEqual(others, []);
  return edge;
}

describe('kill -9 of the helper, under load', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  const load = new Load();
  const SHORT = 500;
  let agent: Ttracerd;
  let reach: string[];
  let killedAt: Date;
  let listen: string;

  before(async () => {
    cleanup.keep(load, (it) => it.end());
    const postgres = cleanup.keep(await startTestPostgres(), (it) => it.stop());
    const dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    reach = ['--cmdb', urlOf(await postgres.createDatabase())];
    listen = `127.0.0.1:${await freePort()}`;
    await load.start();
    await load.openLongLived(2); // before the agent
    const argv = [...reach, '--data-dir', dataDir, '--listen', listen, ...FLUSH];
    agent = cleanup.keep(new Ttracerd(argv), (it) => it.kill());
    await agent.ready();
    await load.openLongLived(LONG_LIVED - 2);
  });
  after(() => cleanup.run());

  it('is back within 3 s, and a snapshot repairs the gap', async () => {
    const churning = load.churn(SHORT);
    await eventually(
      async () => {
        const graph = await ttctlJson<GraphJson>(['flows', ...reach]);
        return edgesTo(graph, load.busyPort).some((edge) => edge.connections > 0);
      },
      { what: 'the first short connections' },
    );
    const { helperPid } = agent;
    killedAt = new Date();
    process.kill(helperPid, 'SIGKILL');
    await agent.logged('watching again; the gap was repaired', 3_000);
    assert.notEqual(agent.helperPid, helperPid);
    await churning;
  });

  it('counts long-lived connections once, and none of them as gone', async () => {
    const edge = await eventually(
      async () => {
        const graph = await ttctlJson<GraphJson>(['flows', ...reach]);
        const found = only(graph, load.stayPort);
        return found.open === LONG_LIVED && found;
      },
      { what: `${LONG_LIVED} open connections` },
    );
    assert.equal(edge.connections, LONG_LIVED);
    assert.equal(edge.activeProcess, 'tcp-actor');
    assert.equal(edge.passiveProcess, 'tcp-actor');
    await load.closeLongLived(2);
    await eventually(
      async () => {
        const { open } = only(await ttctlJson<GraphJson>(['flows', ...reach]), load.stayPort);
        return open === LONG_LIVED - 2;
      },
      { what: 'two of them closed' },
    );
  });

  it('misses no short connection but those of the gap, and counts none twice', async () => {
    const coverage = await gaps();
    const [gap] = coverage;
    assert.ok(gap);
    const gapMs = Date.parse(gap.to) - Date.parse(gap.from);
    const missed = Math.ceil((gapMs / 1_000) * PER_SECOND) + 2;
    let edge: NamedEdge | undefined;
    await eventually(
      async () => {
        edge = only(await ttctlJson<GraphJson>(['flows', ...reach]), load.busyPort);
        return edge.open === 0 && edge.connections >= SHORT - missed;
      },
      { what: `${SHORT} connections but for ${missed}` },
    );
    assert.ok(edge !== undefined && edge.connections <= SHORT, `${edge?.connections}`);
  });

  const gaps = async () => {
    const { coverage } = await ttctlJson<CoverageJson>(['coverage', ...reach]);
    return coverage.filter((interval) => interval.gap);
  };

  it('records the gap, and nothing else, as not watched', async () => {
    const found = await gaps();
    assert.equal(found.length, 1);
    const [gap] = found;
    assert.ok(gap);
    // What the helper had counted since its last report died with it.
    const beforeMs = killedAt.getTime() - Date.parse(gap.from);
    assert.ok(beforeMs > -50 && beforeMs < FLUSH_MS + 500, `${beforeMs} ms before the kill`);
    const afterMs = Date.parse(gap.to) - killedAt.getTime();
    assert.ok(afterMs > 0 && afterMs < 3_000, `${afterMs} ms after the kill`);
    assert.match(gap.note, /helper/);
  });

  it('counts the restart in /metrics', async () => {
    const text = await (await fetch(`http://${listen}/metrics`)).text();
    assert.match(text, /^ttracer_helper_restarts_total 1$/m);
    assert.match(text, /^ttracer_watching\{mode="stream",attach="tracepoint"\} 1$/m);
  });
});

describe('kill -9 of ttracerd', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  const load = new Load();
  let dataDir: string;
  let agent: Ttracerd;

  const start = async () => {
    agent = cleanup.keep(new Ttracerd(['--data-dir', dataDir, ...FLUSH]), (it) => it.stop());
    await agent.ready();
  };
  const stayEdge = async () =>
    only(await ttctlJson<GraphJson>(['flows', '--data-dir', dataDir]), load.stayPort);
  const waitForOpen = (count: number) =>
    eventually(async () => (await stayEdge().catch(() => undefined))?.open === count, {
      what: `${count} open connections`,
    });

  before(async () => {
    cleanup.keep(load, (it) => it.end());
    dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    await load.start();
    await start();
    await load.openLongLived(LONG_LIVED);
    await waitForOpen(LONG_LIVED);
  });
  after(() => cleanup.run());

  it('leaves no process behind', async () => {
    const { helperPid } = agent;
    assert.ok(processesWith(dataDir).length > 1, 'the agent, and its PostgreSQL');
    assert.ok(processesWith('ttracer-helper').includes(helperPid));
    await agent.stop('SIGKILL');
    await eventually(
      () =>
        processesWith(dataDir).length === 0 && !processesWith('ttracer-helper').includes(helperPid),
      { timeoutMs: 5_000, what: 'no orphans' },
    );
  });

  it('starts again cleanly', async () => {
    await load.closeLongLived(2); // while nobody watches
    await load.openLongLived(1);
    await start();
    const complaints = agent.log.filter((line) => Number(line['level']) >= 50);
    assert.deepEqual(complaints, []);
  });

  it('does not count again what was open all the time, and notes what closed', async () => {
    await waitForOpen(LONG_LIVED - 1);
    // Which of four are new can't be told; that at least five were there can.
    const { connections } = await stayEdge();
    assert.equal(connections, LONG_LIVED);
    await load.openLongLived(1);
    await waitForOpen(LONG_LIVED);
    assert.equal((await stayEdge()).connections, LONG_LIVED + 1);
  });
});

describe('SIGTERM under load', { skip: SKIP_UNLESS_ROOT }, () => {
  for (const mode of [
    ['--mode', 'stream'],
    ['--mode', 'poll'],
  ]) {
    it(`${mode[1]}: ends with 0 within 5 s, everything written`, async (t) => {
      const cleanup = new Cleanup();
      t.after(() => cleanup.run());
      const postgres = cleanup.keep(await startTestPostgres(), (it) => it.stop());
      const dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
      const reach = ['--cmdb', urlOf(await postgres.createDatabase())];
      const done = cleanup.keep(new Load(), (it) => it.end());
      const running = cleanup.keep(new Load(), (it) => it.end());
      await done.start();
      await running.start();
      // Nothing of it is written before the end.
      const argv = [...mode, ...reach, '--data-dir', dataDir, '--flush-interval', '1h'];
      const agent = cleanup.keep(new Ttracerd(argv), (it) => it.kill());
      await agent.ready();
      const loading = running.churn(100_000);
      loading.catch(() => undefined); // it is cut short
      await done.openLongLived(3);
      await done.churn(200);
      const outcome = await agent.stop();
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.ok(outcome.ms < 5_000, `${outcome.ms} ms`);
      const graph = await ttctlJson<GraphJson>(['flows', ...reach]);
      const count = (port: number) =>
        edgesTo(graph, port).reduce((total, edge) => total + edge.connections, 0);
      assert.equal(count(done.busyPort), 200);
      assert.equal(count(done.stayPort), 3);
      assert.ok(count(running.busyPort) > 0);
    });
  }
});
