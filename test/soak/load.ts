import { Actor } from '../support/actor.ts';

/** What the load came to at one port, as its clients know it. */
export interface Truth {
  connections: number;
  failed: number;
  open: number;
}

const CHURN_PER_ROUND = 200;
const CHURN_PAUSE_MS = 4;
const PEERS_PER_ROUND = 25;
const PEERS = 2_000;
const LONG_LIVED = 150;
const SHORT_LIVED_PROCESSES = 2;
/** Nobody listens there. */
const CLOSED_PORT = 9;

/**
 * Mixed load within a network namespace, in rounds, each awaited to its end, so that between two
 * rounds every count is known: short connections of one client, of short-lived clients and to many
 * addresses; connections that stay; refused ones; servers that come and go.
 */
export class SoakLoad {
  readonly truth = new Map<number, Truth>();
  readonly #wrapper: readonly string[];
  readonly #actors: Actor[] = [];
  readonly #open: { readonly client: number; readonly server: number }[] = [];
  readonly #server: Actor;
  readonly #client: Actor;
  readonly #stayServer: Actor;
  readonly #stayClient: Actor;
  #busy = { fd: 0, port: 0 };
  #many = { fd: 0, port: 0 };
  #stay = { fd: 0, port: 0 };
  #rounds = 0;

  constructor(wrapper: readonly string[]) {
    this.#wrapper = wrapper;
    this.#server = this.#actor();
    this.#client = this.#actor();
    this.#stayServer = this.#actor();
    this.#stayClient = this.#actor();
  }

  get rounds(): number {
    return this.#rounds;
  }

  async start(): Promise<void> {
    this.#busy = await this.#server.listen('127.0.0.1');
    this.#many = await this.#server.listen('0.0.0.0');
    this.#stay = await this.#stayServer.listen('127.0.0.1');
  }

  async round(): Promise<void> {
    this.#rounds += 1;
    await this.#churn();
    await this.#shortLivedClients();
    await this.#manyPeers();
    await this.#longLived();
    await this.#refused();
    await this.#passingServer();
  }

  async end(): Promise<void> {
    await Promise.all(this.#actors.map((actor) => actor.end()));
  }

  #actor(): Actor {
    const actor = new Actor({ wrapper: this.#wrapper });
    this.#actors.push(actor);
    return actor;
  }

  #count(port: number, change: Partial<Truth>): void {
    const so = this.truth.get(port) ?? { connections: 0, failed: 0, open: 0 };
    so.connections += change.connections ?? 0;
    so.failed += change.failed ?? 0;
    so.open += change.open ?? 0;
    this.truth.set(port, so);
  }

  async #churn(): Promise<void> {
    await Promise.all([
      this.#server.do(`serve ${this.#busy.fd} ${CHURN_PER_ROUND} 10`),
      this.#client.do(`churn 127.0.0.1 ${this.#busy.port} ${CHURN_PER_ROUND} 20 ${CHURN_PAUSE_MS}`),
    ]);
    this.#count(this.#busy.port, { connections: CHURN_PER_ROUND });
  }

  async #shortLivedClients(): Promise<void> {
    for (let i = 0; i < SHORT_LIVED_PROCESSES; i++) {
      const client = new Actor({ wrapper: this.#wrapper });
      await Promise.all([
        this.#server.do(`serve ${this.#busy.fd} 5 10`),
        client.do(`churn 127.0.0.1 ${this.#busy.port} 5 20`),
      ]);
      await client.end();
      this.#count(this.#busy.port, { connections: 5 });
    }
  }

  async #manyPeers(): Promise<void> {
    const { fd, port } = this.#many;
    for (let i = 0; i < PEERS_PER_ROUND; i++) {
      const peer = (this.#rounds * PEERS_PER_ROUND + i) % PEERS;
      await Promise.all([
        this.#server.do(`serve ${fd} 1 10`),
        this.#client.do(`churn 127.1.${peer >> 8}.${peer & 255} ${port} 1 20`),
      ]);
    }
    this.#count(port, { connections: PEERS_PER_ROUND });
  }

  async #longLived(): Promise<void> {
    const wanted = Math.floor(LONG_LIVED * (0.5 + Math.sin(this.#rounds / 7) / 2));
    const { fd, port } = this.#stay;
    while (this.#open.length < wanted) {
      const client = await this.#stayClient.one(`connect 127.0.0.1 ${port}`);
      const server = await this.#stayServer.one(`accept ${fd}`);
      this.#open.push({ client, server });
      this.#count(port, { connections: 1, open: 1 });
    }
    for (const pair of this.#open.splice(wanted)) {
      await this.#stayClient.do(`close ${pair.client}`);
      await this.#stayServer.do(`close ${pair.server}`);
      this.#count(port, { open: -1 });
    }
  }

  async #refused(): Promise<void> {
    await this.#client.fail(`connect 127.0.0.1 ${CLOSED_PORT}`);
    this.#count(CLOSED_PORT, { failed: 1 });
  }

  /** Its port differs each time: what is known of listeners must not pile up. */
  async #passingServer(): Promise<void> {
    const { fd, port } = await this.#server.listen('127.0.0.1');
    await Promise.all([
      this.#server.do(`serve ${fd} 3 10`),
      this.#client.do(`churn 127.0.0.1 ${port} 3 20`),
    ]);
    await this.#server.do(`close ${fd}`);
    this.#count(port, { connections: 3 });
  }
}
