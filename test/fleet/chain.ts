import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Actor } from '../support/actor.ts';
import { APP_DATABASE_PORT, type AppDatabase, startAppDatabase } from '../support/app-database.ts';
import type { GraphJson } from '../support/commands.ts';
import { curlMany } from '../support/curl.ts';
import { Fleet, type FleetHost } from '../support/fleet.ts';
import { startNginx } from '../support/nginx.ts';
import { eventually } from '../support/processes.ts';

/** Hosts with an agent. */
export const WATCHED = ['client', 'web', 'app', 'db', 'cache'] as const;
/** A host without one. */
export const UNWATCHED = 'plain';

export const PORTS = { web: 80, app: 8080, db: APP_DATABASE_PORT, cache: 11_211, plain: 9_000 };
/** Connections that the app keeps to its database. */
export const POOL = 4;

/** An edge as a test expects it: `HOST/PROCESS`, or `?/ADDRESS` where no agent is. */
export interface ExpectedEdge {
  readonly active: string;
  readonly passive: string;
  readonly port: number;
  readonly connections: number;
  readonly open: number;
  readonly failed: number;
  readonly seenBy: string;
}

/** client (curl) -> web (nginx) -> app (Node) -> db (PostgreSQL); a cache; a host without an agent. */
export class Chain {
  readonly fleet: Fleet;
  readonly database: AppDatabase;
  readonly app: Actor;
  readonly cache: Actor;
  /** On the host without an agent: a server, and what connects from there. */
  readonly plain: Actor;
  readonly client: Actor;

  static async start(): Promise<Chain> {
    const fleet = await Fleet.create([...WATCHED, UNWATCHED]);
    try {
      const { address, wrapper } = fleet.host('db');
      const database = await startAppDatabase({ address, wrapper });
      fleet.keep(database, (it) => it.stop());
      const chain = new Chain(fleet, database);
      await chain.#startServers();
      return chain;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  private constructor(fleet: Fleet, database: AppDatabase) {
    this.fleet = fleet;
    this.database = database;
    const actor = (it: Actor): Actor => fleet.keep(it, () => it.end());
    this.app = actor(nodeProgram(fleet.host('app'), 'app-server'));
    this.cache = actor(nodeProgram(fleet.host('cache'), 'cache-server'));
    this.plain = actor(fleet.host(UNWATCHED).actor());
    this.client = actor(fleet.host('client').actor());
  }

  address(host: string): string {
    return this.fleet.host(host).address;
  }

  async #startServers(): Promise<void> {
    await this.app.do(`database ${this.address('db')} ${PORTS.db} ${POOL}`);
    await this.app.do(`listen ${this.address('app')} ${PORTS.app}`);
    await this.cache.do(`listen ${this.address('cache')} ${PORTS.cache}`);
    const nginx = await startNginx({
      listen: [`${this.address('web')}:${PORTS.web}`],
      proxyTo: `${this.address('app')}:${PORTS.app}`,
      wrapper: this.fleet.host('web').wrapper,
    });
    this.fleet.keep(nginx, (it) => it.stop());
  }

  /** Runs curl on a host, one connection a request; all must be answered. */
  async request(from: string, count: number, query = ''): Promise<void> {
    const url = `http://${this.address('web')}:${PORTS.web}/${query}`;
    const { requests } = await curlMany(url, count, this.fleet.host(from).wrapper);
    assert.equal(requests, count);
  }

  /** What the app says: requests and connections that it got, looks into the cache. */
  async appStats(): Promise<{ requests: number; connections: number; looks: number }> {
    const [requests = -1, connections = -1, looks = -1] = await this.app.do('stats');
    return { requests, connections, looks };
  }
}

/** One of the programs of test/support/programs, on a host. */
export function nodeProgram(host: FleetHost, name: string): Actor {
  const file = fileURLToPath(new URL(`../support/programs/${name}.js`, import.meta.url));
  return host.actor({ wrapper: [process.execPath], program: file });
}

/** In the order in which edges are compared. */
export function sorted(edges: readonly ExpectedEdge[]): ExpectedEdge[] {
  const key = ({ active, passive, port }: ExpectedEdge) => `${active} ${passive} ${port}`;
  return edges.toSorted(
    (a, b) => key(a).localeCompare(key(b)) || a.connections - b.connections || a.failed - b.failed,
  );
}

/** The edges of an answer with the names of their ends. */
export function namedEdges(graph: GraphJson): ExpectedEdge[] {
  const names = new Map(
    graph.nodes.map(({ id, host, process, addresses }) => [
      id,
      host === null ? `?/${addresses.join('+')}` : `${host}/${process}`,
    ]),
  );
  return sorted(
    graph.edges.map(({ active, passive, passivePort, connections, open, failed, seenBy }) => ({
      active: names.get(active) ?? '',
      passive: names.get(passive) ?? '',
      port: passivePort,
      connections,
      open,
      failed,
      seenBy,
    })),
  );
}

/** An edge without failures; `open` is how many of its connections are open. */
export function edge(
  active: string,
  passive: string,
  port: number,
  connections: number,
  { open = 0, seenBy = 'both' } = {},
): ExpectedEdge {
  return { active, passive, port, connections, open, failed: 0, seenBy };
}

/** Every edge of a fleet in a range, in a fixed order. */
export async function edgesOf(fleet: Fleet, ...range: readonly string[]): Promise<ExpectedEdge[]> {
  return namedEdges(await fleet.json<GraphJson>('flows', ...range));
}

/** Waits until the CMDB has exactly these edges, and stays so for some flushes. */
export async function expectEdges(
  fleet: Fleet,
  expected: readonly ExpectedEdge[],
  ...range: readonly string[]
): Promise<void> {
  const wanted = JSON.stringify(sorted(expected));
  await eventually(async () => JSON.stringify(await edgesOf(fleet, ...range)) === wanted, {
    timeoutMs: 10_000,
    what: 'the edges',
  }).catch(() => undefined); // told in full below
  await sleep(2_000);
  assert.deepEqual(await edgesOf(fleet, ...range), sorted(expected));
}
