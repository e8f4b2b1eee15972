/** A CMDB that is killed under load and stays away while the agent is restarted: totals stay exact. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { embeddedLayout } from '../../src/cmdb/embedded/layout.ts';
import { runningPostmaster } from '../../src/cmdb/embedded/postmaster-pid.ts';
import type { EmbeddedServer } from '../../src/cmdb/embedded/server.ts';
import { Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { edgesTo, type GraphJson, Ttracerd, ttctlJson, ttracerd } from '../support/commands.ts';
import { Namespace } from '../support/namespace.ts';
import { startTestEmbedded, temporaryDirectory, urlOf } from '../support/postgres.ts';
import { childrenOf, eventually } from '../support/processes.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';

const DOWN_S = Number(process.env['TTRACER_TEST_OUTAGE_SECONDS'] ?? 15);
/** Clients, and what each does: together 500 connections a second on an idle machine. */
const CLIENTS = 5;
const PAUSE_MS = 9;
const AT_A_TIME = 100;
const BYTES = { toPassive: 30, toActive: 50 };
const STAY_OPEN = 4;

/** A client and a server of its own; both count what they did. */
class Churn {
  readonly #client: Actor;
  readonly #server: Actor;
  #fd = 0;
  port = 0;
  established = 0;

  constructor(wrapper: readonly string[]) {
    this.#client = new Actor({ wrapper });
    this.#server = new Actor({ wrapper });
  }

  async start(): Promise<void> {
    ({ fd: this.#fd, port: this.port } = await this.#server.listen('127.0.0.1'));
  }

  /** Connects, one after the other, until told to stop. */
  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const [count] = await Promise.all([
        this.#client.one(
          `churn 127.0.0.1 ${this.port} ${AT_A_TIME} ${BYTES.toPassive} ${PAUSE_MS}`,
        ),
        this.#server.do(`serve ${this.#fd} ${AT_A_TIME} ${BYTES.toActive}`),
      ]);
      this.established += count;
    }
  }

  async end(): Promise<void> {
    await Promise.all([this.#client.end(), this.#server.end()]);
  }
}

/** Load that goes on until it is paused. */
class Load {
  readonly churns: readonly Churn[];
  #isOver = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(wrapper: readonly string[]) {
    this.churns = Array.from({ length: CLIENTS }, () => new Churn(wrapper));
  }

  resume(): void {
    this.#isOver = false;
    this.#running = Promise.all(this.churns.map((churn) => churn.run(() => this.#isOver)));
    this.#running.catch(() => undefined); // told by pause()
  }

  async pause(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  get established(): number {
    return this.churns.reduce((sum, churn) => sum + churn.established, 0);
  }

  async end(): Promise<void> {
    await Promise.all(this.churns.map((churn) => churn.end()));
  }
}

/** How the agent is restarted while the CMDB is away. */
const RESTARTS = [
  { name: 'stopped and started in a pause', pin: false, signal: 'SIGTERM' },
  { name: 'pinned, stopped and started under load', pin: true, signal: 'SIGTERM' },
  { name: 'pinned, killed and started under load', pin: true, signal: 'SIGKILL' },
] as const;

for (const { name, pin, signal } of RESTARTS) {
  describe(
    `PostgreSQL killed under load, away for ${DOWN_S} s, the agent ${name}`,
    {
      skip: SKIP_UNLESS_ROOT,
    },
    () => outage(pin, signal),
  );
}

function outage(pin: boolean, signal: 'SIGTERM' | 'SIGKILL'): void {
  const cleanup = new Cleanup();
  let serverDir: string;
  let dataDir: string;
  let server: EmbeddedServer;
  let namespace: Namespace;
  let load: Load;
  let agent: Ttracerd;
  let reach: string[];
  const staying = { port: 0 };

  const startServer = async () => {
    server = cleanup.keep(await startTestEmbedded(serverDir), (it) => it.stop());
  };
  const startAgent = () => {
    const argv = [...reach, '--data-dir', dataDir, '--netns', 'own', '--flush-interval', '1s'];
    // Not `ip netns exec`, which hides bpffs.
    const wrapper = ['nsenter', `--net=/run/netns/${namespace.name}`];
    agent = cleanup.keep(new Ttracerd(argv, { wrapper, pin }), (it) => it.kill());
  };

  before(async () => {
    serverDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    if (pin) cleanup.keep(dataDir, (it) => ttracerd(['--uninstall', '--data-dir', it]));
    namespace = cleanup.keep(await Namespace.create(), (it) => it.delete());
    await startServer();
    reach = ['--cmdb', urlOf(server.config)];
    load = cleanup.keep(new Load(namespace.wrapper), (it) => it.end());
    for (const churn of load.churns) await churn.start();
    const [client, passive] = [0, 1].map(() =>
      cleanup.keep(new Actor({ wrapper: namespace.wrapper }), (it) => it.end()),
    );
    assert.ok(client && passive);
    const { fd, port } = await passive.listen('127.0.0.1');
    staying.port = port;
    startAgent();
    await agent.ready();
    for (let n = 0; n < STAY_OPEN; n++) {
      await client.do(`connect 127.0.0.1 ${port}`);
      await passive.do(`accept ${fd}`);
    }
  });
  after(() => cleanup.run());

  it('is survived by an agent that is restarted meanwhile', async () => {
    load.resume();
    await sleep(3_000);
    await killServer();
    const killedMs = performance.now();
    await sleep((DOWN_S * 1_000) / 3);
    const first = agent;
    assert.equal(countOf(first, 'the CMDB is away: tracing goes on'), 1);
    if (!pin) await load.pause();
    const { code, ms } = await first.stop(signal);
    assert.equal(code, signal === 'SIGTERM' ? 0 : null);
    assert.ok(ms < 5_000, `${ms} ms`);
    if (pin) await sleep(1_000); // nobody asks for what is counted
    startAgent();
    await agent.logged('attached');
    await agent.logged('the CMDB is away: tracing goes on');
    if (!pin) load.resume();
    await sleep(Math.max(0, DOWN_S * 1_000 - (performance.now() - killedMs)));
    await startServer();
    await agent.logged('the CMDB is back', 60_000);
    await sleep(2_000);
    await load.pause();
  });

  it('has every connection, each once, and their bytes', async (t) => {
    const graph = await eventually(
      async () => {
        const answer = await ttctlJson<GraphJson>(['flows', ...reach]);
        const isThere = load.churns.every(({ port, established }) =>
          edgesTo(answer, port).some(({ connections }) => connections >= established),
        );
        return isThere && answer;
      },
      { timeoutMs: 40_000, what: 'all connections' },
    );
    t.diagnostic(`${load.established} connections, ${DOWN_S} s without CMDB`);
    for (const { port, established } of load.churns) {
      assert.deepEqual(totals(graph, port), [
        {
          connections: established,
          open: 0,
          failed: 0,
          bytesToPassive: established * BYTES.toPassive,
          bytesToActive: established * BYTES.toActive,
        },
      ]);
    }
  });

  it('has what was open all the time once', async () => {
    const graph = await ttctlJson<GraphJson>(['flows', ...reach]);
    assert.deepEqual(totals(graph, staying.port), [
      { connections: STAY_OPEN, open: STAY_OPEN, failed: 0, bytesToPassive: 0, bytesToActive: 0 },
    ]);
    assert.equal((await agent.stop()).code, 0);
  });

  /** As a power cut of the CMDB's host: server and sessions at once. */
  async function killServer(): Promise<void> {
    const { cluster } = embeddedLayout(serverDir, process.geteuid?.() === 0);
    const pid = runningPostmaster(cluster);
    assert.ok(pid);
    for (const victim of [pid, ...childrenOf(pid)]) process.kill(victim, 'SIGKILL');
    await server.stop(); // or it would be started again
  }
}

function countOf(agent: Ttracerd, msg: string): number {
  return agent.log.filter((line) => line.msg === msg).length;
}

function totals(graph: GraphJson, toPort: number) {
  return edgesTo(graph, toPort).map(
    ({ connections, open, failed, bytesToPassive, bytesToActive }) => ({
      connections,
      open,
      failed,
      bytesToPassive,
      bytesToActive,
    }),
  );
}
