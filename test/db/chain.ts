import { at, type BucketOf, type FlowOf, WorldHost } from './query-world.ts';

type Address = string;

/** Hosts with one process each, listening on port 80, joined by edges that both ends saw. */
export class Chain {
  readonly hosts = new Map<string, WorldHost>();
  readonly #addresses = new Map<string, Address>();

  /** @param names processes, each on host `h-NAME`; one that ends in `?` has no agent */
  constructor(names: readonly string[], watched = true) {
    for (const [index, text] of names.entries()) {
      const name = text.replace('?', '');
      this.#addresses.set(name, `10.0.0.${index + 1}`);
      if (text.endsWith('?')) continue;
      const host = new WorldHost(`h-${name}`, [this.address(name)])
        .process(name, { unit: `${name}.service` })
        .listen(name, '0.0.0.0', 80, '', { firstSeen: at(-120), lastSeen: at(120) });
      this.hosts.set(name, watched ? host.covered() : host);
    }
  }

  address(name: string): Address {
    const address = this.#addresses.get(name);
    if (address === undefined) throw new Error(`no ${name}`);
    return address;
  }

  host(name: string): WorldHost {
    const host = this.hosts.get(name);
    if (host === undefined) throw new Error(`no agent on the host of ${name}`);
    return host;
  }

  node(name: string): string {
    return this.host(name).node(name);
  }

  /** An edge, written by each end that has an agent. */
  connect(from: string, to: string, fields: Partial<FlowOf> = {}, buckets?: BucketOf[]): this {
    const [active, passive] = [this.address(from), this.address(to)];
    const flow = { active, passive, port: 80, buckets: buckets ?? [{ opened: 1 }], ...fields };
    this.hosts.get(from)?.flow({ ...flow, side: 'active', process: from });
    this.hosts.get(to)?.flow({ ...flow, side: 'passive', process: to });
    return this;
  }

  /** Connects that were refused, which only the active end knows of. */
  fail(from: string, to: string, fields: Partial<FlowOf> = {}): this {
    const [active, passive] = [this.address(from), this.address(to)];
    const buckets = [{ failedRefused: 3 }];
    const flow = { active, passive, port: 80, buckets, ...fields };
    this.host(from).flow({ ...flow, side: 'active', process: from });
    return this;
  }
}
