import { BlockList, isIP } from 'node:net';
import { ExitCode, UserError } from '../common/exit-codes.ts';

export interface Network {
  readonly address: string;
  /** Number of leading bits that count. */
  readonly prefix: number;
}

/** Networks by name and length, and whether an address is in one of them. */
export class NetworkSet {
  readonly #list = new BlockList();
  readonly #known = new Set<string>();

  constructor(networks: readonly Network[] = []) {
    for (const network of networks) this.add(network);
  }

  /** @returns whether it was not there yet */
  add({ address, prefix }: Network): boolean {
    const key = `${address}/${prefix}`;
    if (this.#known.has(key)) return false;
    this.#known.add(key);
    this.#list.addSubnet(address, prefix, familyOf(address));
    return true;
  }

  has(address: string): boolean {
    return this.#known.size > 0 && this.#list.check(address, familyOf(address));
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

/**
 * Reads `172.17.0.0/16,fd00::/64`.
 * @throws UserError (usage) naming the option and the part that is no network
 */
export function parseNetworks(text: string, option: string): Network[] {
  return text.split(',').map((part) => {
    const [, address = '', prefix = ''] = /^([0-9a-f.:]+)\/(\d{1,3})$/i.exec(part.trim()) ?? [];
    const version = isIP(address);
    if (version !== 0 && Number(prefix) <= (version === 4 ? 32 : 128)) {
      return { address, prefix: Number(prefix) };
    }
    throw new UserError(
      ExitCode.usage,
      `${option}: ${JSON.stringify(part)} is no network; use a list like 172.17.0.0/16,fd00::/64`,
    );
  });
}
