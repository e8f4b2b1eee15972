/** Network namespaces as hosts, joined by a bridge, each with an agent, and one CMDB for all. */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type pg from 'pg';
import { Actor, type ActorOptions } from './actor.ts';
import { Cleanup } from './cleanup.ts';
import { Ttracerd, ttctl, ttctlJson, ttracerd } from './commands.ts';
import { Namespace } from './namespace.ts';
import { startTestPostgres, type TestPostgres, temporaryDirectory, urlOf } from './postgres.ts';
import { type Outcome, runOk } from './run.ts';

const PREFIX = '10.77.0.';

/** A host of a {@link Fleet}: a network namespace with one address on the fleet's network. */
export class FleetHost {
  readonly name: string;
  readonly hostId: string;
  readonly #namespace: Namespace;
  readonly #cmdb: readonly string[];
  readonly #dataDir: string;
  #address: string;
  #agent: Ttracerd | null = null;
  #pins = false;

  constructor(
    name: string,
    address: string,
    namespace: Namespace,
    cmdb: readonly string[],
    dataDir: string,
  ) {
    this.name = name;
    this.hostId = hostIdOf(name);
    this.#address = address;
    this.#namespace = namespace;
    this.#cmdb = cmdb;
    this.#dataDir = dataDir;
  }

  get address(): string {
    return this.#address;
  }

  /** Runs what follows on this host: same pid, and the mounts of the test (`ip netns` hides some). */
  get wrapper(): readonly string[] {
    return ['nsenter', `--net=/run/netns/${this.#namespace.name}`];
  }

  get agent(): Ttracerd {
    if (this.#agent === null) throw new Error(`${this.name} has no agent`);
    return this.#agent;
  }

  /**
   * Starts an agent, the same host's as before, and waits until it watches. What it pins in the
   * kernel is removed with the fleet.
   */
  async startAgent(argv: readonly string[], { pin = false } = {}): Promise<Ttracerd> {
    await this.killAgent();
    this.#pins ||= pin;
    const identity = ['--host-id', this.hostId, '--host-name', this.name];
    const own = [...identity, '--netns', 'own', ...this.#cmdb, '--data-dir', this.#dataDir];
    this.#agent = new Ttracerd([...own, ...argv], { wrapper: this.wrapper, pin });
    await this.#agent.ready();
    return this.#agent;
  }

  /** Ends the agent as `kill -9` does, if there is one. */
  async killAgent(): Promise<void> {
    await this.#agent?.kill();
  }

  /** Ends the agent, and removes what it left in the kernel. */
  async uninstallAgent(): Promise<void> {
    await this.killAgent();
    if (this.#pins) await ttracerd(['--uninstall', '--data-dir', this.#dataDir]);
  }

  /** A program of this host that does what a test says. */
  actor(options: ActorOptions = {}): Actor {
    return new Actor({ ...options, wrapper: [...this.wrapper, ...(options.wrapper ?? [])] });
  }

  /** Runs a command of this host that must succeed; gives its output. */
  run(...argv: readonly string[]): Promise<string> {
    const [command = '', ...rest] = [...this.wrapper, ...argv];
    return runOk(command, rest, { timeoutMs: 120_000 });
  }

  async connectTo(bridge: Namespace): Promise<void> {
    const end = `to-${this.name}`.slice(0, 15);
    const peer = ['peer', 'name', end, 'netns', bridge.name];
    await this.#namespace.ip('link', 'add', 'eth0', 'type', 'veth', ...peer);
    await bridge.ip('link', 'set', end, 'master', 'br0', 'up');
    await this.#namespace.ip('addr', 'add', `${this.#address}/24`, 'dev', 'eth0');
    await this.#namespace.ip('link', 'set', 'eth0', 'up');
  }

  /** Takes the address away; connections that use it stay as they are, and get no packet through. */
  async dropAddress(): Promise<void> {
    await this.#namespace.ip('addr', 'del', `${this.#address}/24`, 'dev', 'eth0');
  }

  async takeAddress(address: string): Promise<void> {
    await this.#namespace.ip('addr', 'add', `${address}/24`, 'dev', 'eth0');
    this.#address = address;
  }

  /** Forgets who has which address on the network. */
  async forgetNeighbours(): Promise<void> {
    await this.#namespace.ip('neigh', 'flush', 'dev', 'eth0');
  }
}

/** Several hosts on one machine; {@link Fleet.stop} removes all of it, however a test ended. */
export class Fleet {
  /** How `ttctl` and the agents find the CMDB. */
  readonly cmdb: readonly string[];
  readonly #config: pg.ClientConfig;
  readonly #postgres: TestPostgres;
  readonly #hosts = new Map<string, FleetHost>();
  readonly #cleanup: Cleanup;

  private constructor(cleanup: Cleanup, postgres: TestPostgres, config: pg.ClientConfig) {
    this.#cleanup = cleanup;
    this.#postgres = postgres;
    this.#config = config;
    this.cmdb = ['--cmdb', urlOf(config)];
  }

  /** Builds the hosts, in this order from 10.77.0.1 on, and their CMDB; starts no agent. */
  static async create(names: readonly string[]): Promise<Fleet> {
    const cleanup = new Cleanup();
    try {
      await Namespace.removeStale();
      const postgres = cleanup.keep(await startTestPostgres(), (it) => it.stop());
      const fleet = new Fleet(cleanup, postgres, await postgres.createDatabase());
      const bridge = cleanup.keep(await Namespace.create(), (it) => it.delete());
      await bridge.ip('link', 'add', 'br0', 'type', 'bridge');
      await bridge.ip('link', 'set', 'br0', 'up');
      for (const [index, name] of names.entries()) {
        await fleet.#addHost(name, `${PREFIX}${index + 1}`, bridge);
      }
      return fleet;
    } catch (error) {
      await cleanup.run();
      throw error;
    }
  }

  async #addHost(name: string, address: string, bridge: Namespace): Promise<void> {
    const keep = this.#cleanup;
    const namespace = keep.keep(await Namespace.create(), (it) => it.delete());
    const dataDir = keep.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    const host = new FleetHost(name, address, namespace, this.cmdb, dataDir);
    keep.keep(host, (it) => it.uninstallAgent());
    await host.connectTo(bridge);
    this.#hosts.set(name, host);
  }

  host(name: string): FleetHost {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`no host '${name}' in this fleet`);
    return host;
  }

  /** Starts agents on these hosts, all at once. */
  async startAgents(
    names: readonly string[],
    argv: readonly string[],
    options: { readonly pin?: boolean } = {},
  ): Promise<void> {
    await Promise.all(names.map((name) => this.host(name).startAgent(argv, options)));
  }

  /** Keeps what runs on a host; it is ended before the host is. */
  keep<T>(thing: T, undo: (thing: T) => Promise<unknown>): T {
    return this.#cleanup.keep(thing, undo);
  }

  /** Asks the CMDB as a user would. */
  ttctl(...argv: readonly string[]): Promise<Outcome> {
    return ttctl([...argv, ...this.cmdb]);
  }

  /** The same, for an answer in JSON; one that exits 1 is an answer, too, with `code`. */
  json<T>(...argv: readonly string[]): Promise<T> {
    return ttctlJson<T>([...argv, ...this.cmdb]);
  }

  /** Looks into the CMDB by SQL. */
  query<R extends pg.QueryResultRow>(sql: string, values: readonly unknown[] = []): Promise<R[]> {
    return this.#postgres.query<R>(this.#config, sql, values);
  }

  stop(): Promise<void> {
    return this.#cleanup.run();
  }
}

/** A UUID of version 8 (RFC 9562), the same for the same name. */
function hostIdOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  const [a, b, c, d, e] = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 15),
    hex.slice(15, 18),
  ].concat(hex.slice(18, 30));
  return `${a}-${b}-8${c}-8${d}-${e}`;
}
