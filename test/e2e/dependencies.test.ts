/**
 * The main job, as a user sees it: a server older than the agent, a connection older than the agent,
 * two hundred short ones, one that is refused and one that is never answered; then `ttctl deps`.
 */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import {
  edgesTo,
  type GraphJson,
  type NamedEdge,
  Ttracerd,
  ttctl,
  ttctlJson,
} from '../support/commands.ts';
import { type CurlTotals, curlMany } from '../support/curl.ts';
import { Namespace, SILENT_ADDRESS, SILENT_ADDRESS_IPV6 } from '../support/namespace.ts';
import { freePort, startNginx } from '../support/nginx.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { eventually } from '../support/processes.ts';
import { run, SKIP_UNLESS_ROOT } from '../support/run.ts';

const RUNS = 200;
/** What was seen must be in the CMDB so long after the last of it. */
const WITHIN_MS = 15_000;
/** Name of the process with the idle connection. */
const IDLE = 'tcp-actor';
/** curl's exit codes. */
const CURL = { refused: 7, timedOut: 28 };

interface Family {
  readonly name: string;
  /** Address that the CMDB has, at both ends. */
  readonly address: string;
  /** Value of nginx's `listen`, but for the port and what follows it. */
  readonly listen: string;
  readonly listenOptions: string;
  /** In a network namespace of its own, so that a wildcard is not open to the network. */
  readonly inNamespace: boolean;
  /** Where the idle connection goes to. */
  readonly idleTo: string;
  /** Hosts in the URLs of the runs, which share them evenly. */
  readonly urlHosts: readonly string[];
  readonly silent: string;
}

const FAMILIES: readonly Family[] = [
  {
    name: 'IPv4',
    address: '127.0.0.1',
    listen: '127.0.0.1',
    listenOptions: '',
    inNamespace: false,
    idleTo: '127.0.0.1',
    urlHosts: ['127.0.0.1'],
    silent: SILENT_ADDRESS,
  },
  {
    name: 'IPv6',
    address: '::1',
    listen: '[::1]',
    listenOptions: '',
    inNamespace: false,
    idleTo: '::1',
    urlHosts: ['[::1]'],
    silent: `[${SILENT_ADDRESS_IPV6}]`,
  },
  {
    // A dual-stack listener; an IPv4 socket, and an IPv6 socket that talks IPv4, come to it.
    name: 'mapped',
    address: '127.0.0.1',
    listen: '[::]',
    listenOptions: 'ipv6only=off',
    inNamespace: true,
    idleTo: '::ffff:127.0.0.1',
    urlHosts: ['127.0.0.1', '[::ffff:127.0.0.1]'],
    silent: `[::ffff:${SILENT_ADDRESS}]`,
  },
];

/** The server's port, and what was done to it. */
interface Traffic {
  readonly port: number;
  readonly closedPort: number;
  readonly silentPort: number;
  totals: CurlTotals;
  /** Answers of `ttctl deps`. */
  graph: GraphJson;
}

interface Expected {
  /** Edges of the curl runs, in one answer. */
  checkRuns(edges: readonly NamedEdge[]): void;
  /** What the active ends received, against what curl says. */
  checkReceived(counted: number, told: number): void;
  /** The active process of a connect that failed. */
  readonly failedBy: ReadonlySet<string | null>;
  readonly mode: string;
  readonly attach: string | null;
}

const sum = (edges: readonly NamedEdge[], of: (edge: NamedEdge) => number): number =>
  edges.reduce((total, edge) => total + of(edge), 0);

const STREAM: Expected = {
  checkRuns(edges) {
    assert.deepEqual(
      edges.map(({ activeProcess, connections, foundBy }) => ({
        activeProcess,
        connections,
        foundBy,
      })),
      [{ activeProcess: 'curl', connections: RUNS, foundBy: ['stream'] }],
    );
  },
  checkReceived: (counted, told) => assert.equal(counted, told),
  failedBy: new Set(['curl']),
  mode: 'stream',
  attach: 'tracepoint',
};

const POLL: Expected = {
  checkRuns(edges) {
    // A run that a snapshot happens to meet has an owner; of the others no notice tells the owner.
    for (const { activeProcess } of edges) assert.ok([null, 'curl'].includes(activeProcess));
    assert.equal(
      sum(edges, (edge) => edge.connections),
      RUNS,
    );
    const byNotice = edges.filter((edge) => edge.foundBy.includes('destroy'));
    assert.ok(sum(byNotice, (edge) => edge.connections) > RUNS / 2);
  },
  checkReceived(counted, told) {
    // tcp_info counts the peer's FIN as a byte, and no notice tells whether one came.
    assert.ok(counted >= told && counted <= told + RUNS, `${counted} for ${told}`);
  },
  failedBy: new Set([null, 'curl']),
  mode: 'poll',
  attach: null,
};

async function prepare(
  family: Family,
  index: number,
  namespace: Namespace,
  cleanup: Cleanup,
): Promise<Traffic> {
  const wrapper = family.inNamespace ? namespace.wrapper : [];
  const port = await freePort();
  const listen = [`${family.listen}:${port} ${family.listenOptions}`];
  cleanup.keep(await startNginx({ listen, wrapper }), (nginx) => nginx.stop());
  const idle = cleanup.keep(new Actor({ wrapper }), (actor) => actor.end());
  await idle.do(`connect ${family.idleTo} ${port}`);
  return {
    port,
    closedPort: await freePort(),
    silentPort: 20_000 + index,
    totals: { requests: 0, bytesSent: 0, bytesReceived: 0 },
    graph: { nodes: [], edges: [] },
  };
}

/** Runs curl for something that must fail in a certain way. */
async function failToCurl(url: string, code: number, wrapper: readonly string[]): Promise<void> {
  const [command = '', ...argv] = [...wrapper, 'curl', '-gs', '-m', '2', url];
  assert.equal((await run(command, argv)).code, code);
}

async function makeTraffic(traffic: Traffic, family: Family, namespace: Namespace): Promise<void> {
  const { port, closedPort, silentPort } = traffic;
  const wrapper = family.inNamespace ? namespace.wrapper : [];
  const each = RUNS / family.urlHosts.length;
  for (const host of family.urlHosts) {
    const { requests, bytesSent, bytesReceived } = await curlMany(
      `http://${host}:${port}/`,
      each,
      wrapper,
    );
    traffic.totals = {
      requests: traffic.totals.requests + requests,
      bytesSent: traffic.totals.bytesSent + bytesSent,
      bytesReceived: traffic.totals.bytesReceived + bytesReceived,
    };
  }
  const [host] = family.urlHosts;
  await failToCurl(`http://${host}:${closedPort}/`, CURL.refused, wrapper);
  await failToCurl(`http://${family.silent}:${silentPort}/`, CURL.timedOut, namespace.wrapper);
}

function declareSuite(mode: readonly string[], expected: Expected): void {
  const cleanup = new Cleanup();
  let namespace: Namespace;
  let dataDir: string;
  let agent: Ttracerd;
  const traffic = new Map<Family, Traffic>();

  before(async () => {
    namespace = cleanup.keep(await Namespace.create(), (it) => it.delete());
    await namespace.addSilentPeer();
    dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    for (const [index, family] of FAMILIES.entries()) {
      traffic.set(family, await prepare(family, index, namespace, cleanup));
    }
    agent = cleanup.keep(new Ttracerd([...mode, '--data-dir', dataDir]), (it) => it.stop());
    await agent.ready();
  });
  after(() => cleanup.run());

  const deps = (target: string) => ttctlJson<GraphJson>(['deps', target, '--data-dir', dataDir]);

  /** Does the CMDB know anything of a port? */
  const isKnown = async (port: number): Promise<boolean> =>
    (await ttctl(['deps', `:${port}`, '--data-dir', dataDir])).code === 0;

  it('chose the mode that was asked for', async () => {
    const ready = await agent.ready();
    assert.equal(ready['mode'], expected.mode);
    assert.equal(ready['attach'], expected.attach);
  });

  it('has all in the CMDB within 15 s of the last connection', async () => {
    await Promise.all(
      FAMILIES.map(async (family) => {
        const it = traffic.get(family);
        assert.ok(it);
        await makeTraffic(it, family, namespace);
        assert.equal(it.totals.requests, RUNS);
      }),
    );
    const lastMs = performance.now();
    for (const it of traffic.values()) {
      await eventually(
        async () => {
          it.graph = await deps(`:${it.port}`);
          const count = sum(edgesTo(it.graph, it.port), (edge) => edge.connections);
          return count >= RUNS + 1 && (await isKnown(it.silentPort));
        },
        { timeoutMs: lastMs + WITHIN_MS - performance.now(), what: `port ${it.port}` },
      );
    }
  });

  for (const family of FAMILIES) {
    const known = (): Traffic => {
      const it = traffic.get(family);
      assert.ok(it);
      return it;
    };

    it(`${family.name}: nginx is the passive process, everywhere`, () => {
      const { graph, port } = known();
      const edges = edgesTo(graph, port);
      assert.deepEqual([...new Set(edges.map((edge) => edge.passiveProcess))], ['nginx']);
      assert.deepEqual([...new Set(edges.map((edge) => edge.seenBy))], ['both']);
      const passive = graph.nodes.filter((node) => node.ports.includes(port));
      assert.equal(passive.length, 1);
      assert.equal(passive[0]?.exe, '/usr/sbin/nginx');
      assert.deepEqual([...new Set(edges.map((edge) => edge.passiveAddress))], [family.address]);
    });

    it(`${family.name}: the runs of curl are ${RUNS} connections, and attributed`, () => {
      const { graph, port } = known();
      expected.checkRuns(edgesTo(graph, port).filter((edge) => edge.activeProcess !== IDLE));
    });

    it(`${family.name}: no byte is missing or counted twice`, () => {
      const { graph, port, totals } = known();
      const edges = edgesTo(graph, port);
      assert.equal(
        sum(edges, (edge) => edge.bytesToPassive),
        totals.bytesSent,
      );
      expected.checkReceived(
        sum(edges, (edge) => edge.bytesToActive),
        totals.bytesReceived,
      );
    });

    it(`${family.name}: the idle connection was found by a snapshot`, () => {
      const { graph, port } = known();
      const own = edgesTo(graph, port).filter((edge) => edge.activeProcess === IDLE);
      assert.deepEqual(
        own.map(({ connections, open, foundBy }) => ({ connections, open, foundBy })),
        [{ connections: 1, open: 1, foundBy: ['snapshot'] }],
      );
    });

    it(`${family.name}: what failed is an edge, but no connection`, async () => {
      const { closedPort, silentPort } = known();
      for (const port of [closedPort, silentPort]) {
        const edges = edgesTo(await deps(`:${port}`), port);
        assert.deepEqual(
          edges.map(({ connections, failed, open }) => ({ connections, failed, open })),
          [{ connections: 0, failed: 1, open: 0 }],
          `port ${port}`,
        );
        assert.ok(expected.failedBy.has(edges[0]?.activeProcess ?? null));
        assert.equal(edges[0]?.passiveProcess, null);
      }
    });
  }
}

describe('dependencies of a host, streamed', { skip: SKIP_UNLESS_ROOT }, () => {
  declareSuite(['--mode', 'auto'], STREAM);
});

describe('dependencies of a host, polled', { skip: SKIP_UNLESS_ROOT }, () => {
  declareSuite(['--mode', 'poll', '--poll-interval', '1s'], POLL);
});
