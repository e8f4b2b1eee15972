/** What happens while the agent is down, with programs and counts pinned in the kernel. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pinDirectory } from '../../src/agent/pins.ts';
import { ACTOR_PROGRAM, Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import {
  type CoverageJson,
  edgesTo,
  type GraphJson,
  type NamedEdge,
  Ttracerd,
  ttctlJson,
  ttracerd,
} from '../support/commands.ts';
import { startTestPostgres, temporaryDirectory, urlOf } from '../support/postgres.ts';
import { eventually } from '../support/processes.ts';
import { run, SKIP_UNLESS_ROOT } from '../support/run.ts';

/** How long the agent is down. */
const DOWN_S = Number(process.env['TTRACER_TEST_DOWN_S'] || '4');
const PER_SECOND = 500;
const CLIENTS = 2;
const HOST_ID = '6f1b3f0e-55b7-4f0c-9a1c-0d6a3d1d7a11';
const REQUEST_BYTES = 20;
const ANSWER_BYTES = 10;

/** One agent after another on one data directory and one CMDB. */
class World {
  readonly cleanup = new Cleanup();
  dataDir = '';
  reach: string[] = [];
  agent: Ttracerd | null = null;

  async make(): Promise<void> {
    const postgres = this.cleanup.keep(await startTestPostgres(), (it) => it.stop());
    const directory = await temporaryDirectory();
    this.dataDir = this.cleanup.keep(directory, (it) => rm(it, { recursive: true }));
    this.cleanup.keep(this, (it) => it.uninstall());
    this.reach = ['--cmdb', urlOf(await postgres.createDatabase())];
  }

  get pins(): string {
    return pinDirectory({ dataDir: this.dataDir, netns: 'own' }, HOST_ID);
  }

  async start(...more: string[]): Promise<Ttracerd> {
    const argv = [...this.reach, '--data-dir', this.dataDir, '--host-id', HOST_ID];
    // Other namespaces may have enough flows to fill the maps.
    const netns = more.includes('--netns') ? [] : ['--netns', 'own'];
    const options = ['--attach', 'tracepoint', '--flush-interval', '500ms', ...netns, ...more];
    const agent = new Ttracerd([...argv, ...options], { pin: true });
    this.agent = this.cleanup.keep(agent, (it) => it.kill());
    await agent.ready();
    return agent;
  }

  uninstall() {
    return ttracerd(['--uninstall', '--data-dir', this.dataDir]);
  }

  async edges(port: number): Promise<NamedEdge[]> {
    return edgesTo(await ttctlJson<GraphJson>(['flows', ...this.reach]), port);
  }

  /** Waits until `connections` of all edges to a port are counted, and then none is open. */
  settled(port: number, connections: number, open = 0): Promise<NamedEdge[]> {
    const total = (edges: NamedEdge[], of: 'connections' | 'open') =>
      edges.reduce((sum, edge) => sum + edge[of], 0);
    return eventually(
      async () => {
        const edges = await this.edges(port);
        const isAll = total(edges, 'connections') >= connections && total(edges, 'open') === open;
        return isAll && edges;
      },
      { timeoutMs: 15_000, what: `${connections} connections, ${open} open` },
    );
  }

  async coverage(): Promise<CoverageJson['coverage']> {
    const { coverage } = await ttctlJson<CoverageJson>(['coverage', ...this.reach]);
    return [...coverage].sort((a, b) => Date.parse(a.from) - Date.parse(b.from));
  }
}

/** A server, and clients that open short connections one after another. */
class Churn {
  readonly server = new Actor();
  readonly clients = Array.from({ length: CLIENTS }, () => new Actor());
  port = 0;
  #fd = 0;

  async start(): Promise<void> {
    ({ fd: this.#fd, port: this.port } = await this.server.listen('127.0.0.1'));
  }

  /** @returns how many connections were made */
  async run(seconds: number): Promise<number> {
    const each = Math.ceil((seconds * PER_SECOND) / CLIENTS);
    const pauseMs = Math.floor((1_000 * CLIENTS) / PER_SECOND) - 1;
    await Promise.all([
      this.server.do(`serve ${this.#fd} ${each * CLIENTS} ${ANSWER_BYTES}`),
      ...this.clients.map((client) =>
        client.do(`churn 127.0.0.1 ${this.port} ${each} ${REQUEST_BYTES} ${pauseMs}`),
      ),
    ]);
    return each * CLIENTS;
  }

  async end(): Promise<void> {
    await Promise.all([this.server, ...this.clients].map((actor) => actor.end()));
  }
}

/** Everything was watched from the first interval to the last, and nothing lost. */
function assertSeamless(coverage: CoverageJson['coverage']): void {
  const gaps = coverage.filter(({ gap }) => gap);
  assert.deepEqual(gaps, []);
  assert.ok(coverage.every(({ lost }) => lost === 0));
  let [{ to: end } = { to: '' }] = coverage;
  for (const { from, to } of coverage) {
    const holeMs = Date.parse(from) - Date.parse(end);
    assert.ok(holeMs <= 5, `${holeMs} ms before ${from} were not watched`);
    if (to > end) end = to;
  }
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  describe(`down for ${DOWN_S} s after ${signal}`, { skip: SKIP_UNLESS_ROOT }, () => {
    const world = new World();
    const churn = new Churn();
    const stay = { server: new Actor(), client: new Actor(), port: 0, fd: 0 };
    const open: number[] = [];
    let briefProgram: string;
    let briefPort: number;

    const connect = async (count: number) => {
      for (let i = 0; i < count; i++) {
        open.push(await stay.client.one(`connect 127.0.0.1 ${stay.port}`));
        await stay.server.do(`accept ${stay.fd}`);
      }
    };

    before(async () => {
      await world.make();
      const { cleanup } = world;
      cleanup.keep(churn, (it) => it.end());
      for (const actor of [stay.server, stay.client]) cleanup.keep(actor, (it) => it.end());
      briefProgram = join(world.dataDir, 'brief');
      await copyFile(ACTOR_PROGRAM, briefProgram);
      await churn.start();
      ({ fd: stay.fd, port: stay.port } = await stay.server.listen('127.0.0.1'));
      await world.start();
      await connect(5);
    });
    after(() => world.cleanup.run());

    it('counts what came and went meanwhile, each once and under its name', async () => {
      const churning = churn.run(DOWN_S + 4);
      await sleep(2_000);
      const outcome = await world.agent?.stop(signal);
      const downMs = performance.now();
      if (signal === 'SIGTERM') assert.equal(outcome?.code, 0, outcome?.stderr);
      for (const fd of open.splice(0, 2)) await stay.client.do(`close ${fd}`);
      await connect(1);
      briefPort = await connectBriefly();
      await sleep(DOWN_S * 1_000 - (performance.now() - downMs));
      const agent = await world.start();
      const attached = await agent.logged('attached');
      assert.equal(attached['adopted'], true);
      const made = await churning;
      const [edge, ...others] = await world.settled(churn.port, made);
      assert.deepEqual(others, []);
      assert.equal(edge?.connections, made);
      assert.equal(edge?.failed, 0);
      assert.equal(edge?.bytesToPassive, made * REQUEST_BYTES);
      assert.equal(edge?.bytesToActive, made * ANSWER_BYTES);
      assert.deepEqual([edge?.activeProcess, edge?.passiveProcess], ['tcp-actor', 'tcp-actor']);
      assert.equal(edge?.seenBy, 'both');
    });

    /** A process that begins, connects and ends. */
    const connectBriefly = async () => {
      const server = world.cleanup.keep(new Actor(), (it) => it.end());
      const { fd, port } = await server.listen('127.0.0.1');
      const brief = new Actor({ program: briefProgram });
      const connection = await brief.one(`connect 127.0.0.1 ${port}`);
      await server.do(`accept ${fd}`);
      await brief.do(`close ${connection}`);
      await brief.end();
      return port;
    };

    it('names a process that lived only meanwhile', async () => {
      const [edge] = await world.edges(briefPort);
      assert.equal(edge?.connections, 1);
      assert.equal(edge?.activeProcess, 'brief');
    });

    it('knows which of the long-lived connections are open', async () => {
      const [edge] = await world.settled(stay.port, 6, 4);
      assert.equal(edge?.connections, 6);
      await stay.client.do(`close ${open.pop()}`);
      await world.settled(stay.port, 6, 3);
    });

    it('says that this time was watched, by whom', async () => {
      const coverage = await world.coverage();
      assertSeamless(coverage);
      const bridge = coverage.find(({ note }) => note.includes('counted by pinned programs'));
      assert.ok(bridge);
      assert.equal(bridge.mode, 'stream');
      assert.equal(bridge.attach, 'tracepoint');
      const bridgedMs = Date.parse(bridge.to) - Date.parse(bridge.from);
      assert.ok(bridgedMs >= DOWN_S * 1_000, `${bridgedMs} ms`);
    });
  });
}

describe('kill -9 of a helper with pins', { skip: SKIP_UNLESS_ROOT }, () => {
  const world = new World();
  const churn = new Churn();

  before(async () => {
    await world.make();
    world.cleanup.keep(churn, (it) => it.end());
    await churn.start();
    await world.start();
  });
  after(() => world.cleanup.run());

  it('loses nothing and leaves no gap', async () => {
    const churning = churn.run(5);
    for (let i = 0; i < 3; i++) {
      await sleep(1_200);
      const { agent } = world;
      assert.ok(agent);
      process.kill(agent.helperPid, 'SIGKILL');
      await agent.logged('attached', 5_000, i + 2);
    }
    const made = await churning;
    const [edge] = await world.settled(churn.port, made);
    assert.equal(edge?.connections, made);
    assert.equal(edge?.bytesToPassive, made * REQUEST_BYTES);
    assertSeamless(await world.coverage());
  });
});

describe('pins', { skip: SKIP_UNLESS_ROOT }, () => {
  const world = new World();

  before(() => world.make());
  after(() => world.cleanup.run());

  const idsOfLinks = async () => {
    const paths = readdirSync(world.pins)
      .filter((name) => name.startsWith('link_'))
      .map((name) => join(world.pins, name));
    const shown = await Promise.all(paths.map((path) => bpftool(['pinned', path])));
    return shown.map(({ stdout }) => (JSON.parse(stdout) as { id: number }).id);
  };
  const bpftool = (argv: readonly string[]) =>
    run('bpftool', ['--json', 'link', 'show', ...argv], {
      env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' },
    });

  it('are not taken away from an agent that runs', async () => {
    await world.start();
    const { code, stderr } = await world.uninstall();
    assert.equal(code, 2);
    assert.match(stderr, /is in use by a ttracerd that runs: stop it first/);
    await world.agent?.stop();
    assert.ok(existsSync(join(world.pins, 'set')));
  });

  it('of another choice of network namespaces are left alone', async () => {
    const before = await idsOfLinks();
    const agent = await world.start('--netns', 'all');
    assert.equal((await agent.logged('attached'))['adopted'], false);
    await agent.stop();
    assert.deepEqual(await idsOfLinks(), before, 'the others are as they were');
  });

  it('go with --uninstall, and all programs with them', async () => {
    const ids = await idsOfLinks();
    assert.ok(ids.length >= 4);
    const { code, stdout } = await world.uninstall();
    assert.equal(code, 0);
    assert.match(stdout, /removed \S+: 4 programs, \d+ maps/);
    assert.equal(existsSync(world.pins), false);
    await eventually(
      async () => {
        const left = await Promise.all(ids.map((id) => bpftool(['id', String(id)])));
        return left.every((outcome) => outcome.code !== 0);
      },
      { what: 'no link left' },
    );
    const again = await world.uninstall();
    assert.deepEqual([again.code, again.stdout], [0, 'nothing is pinned\n']);
  });

  it('are not left with --no-pin, which removes those there are', async () => {
    await (await world.start()).stop();
    assert.ok(existsSync(join(world.pins, 'set')));
    const agent = await world.start('--no-pin');
    assert.equal((await agent.logged('attached'))['pinned'], false);
    assert.equal(existsSync(world.pins), false);
    await agent.stop();
  });
});
