import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Network } from './cidr.ts';
import { NetworkSet } from './cidr.ts';

/** An address of an interface of this host; `networkInterfaces()` of node:os gives such. */
export interface InterfaceAddress extends Network {
  readonly name: string;
  readonly mac: string;
}

export interface BridgeSources {
  /** Root of the sys filesystem. */
  readonly sysRoot: string;
  /** Root of the proc filesystem. */
  readonly procRoot: string;
}

/** RFC 1918 and RFC 4193: the only addresses that may mean something else elsewhere. */
const PRIVATE = new NetworkSet([
  { address: '10.0.0.0', prefix: 8 },
  { address: '172.16.0.0', prefix: 12 },
  { address: '192.168.0.0', prefix: 16 },
  { address: 'fc00::', prefix: 7 },
]);

/**
 * Networks that exist on this host only: those of bridges none of whose ports leads off the host
 * (docker0, libvirt's virbr0), as far as their addresses are private. Not those of which the host
 * routes a sibling to a gateway: they are one host's part of a network of the fleet, as pod networks
 * are.
 */
export function bridgeNetworks(
  addresses: readonly InterfaceAddress[],
  sources: BridgeSources,
): Network[] {
  const bridges = new Map<string, InterfaceAddress[]>();
  for (const address of addresses) {
    bridges.set(address.name, [...(bridges.get(address.name) ?? []), address]);
  }
  const routes = readRoutes(sources.procRoot);
  return [...bridges.values()].flatMap((own) => {
    const [first] = own;
    if (first === undefined || !isPrivateBridge(first, sources.sysRoot)) return [];
    if (own.some((address) => routes.some((route) => isSibling(route, address)))) return [];
    return own.filter(({ address }) => PRIVATE.has(address));
  });
}

/** A bridge whose ports all end on this host. */
function isPrivateBridge({ name, mac }: InterfaceAddress, sysRoot: string): boolean {
  const path = `${sysRoot}/class/net/${name}`;
  // sysfs may show another network namespace than ours: then it tells nothing of this interface.
  if (!existsSync(`${path}/bridge`) || readText(`${path}/address`) !== mac) return false;
  return list(`${path}/brif`).every((port) => endsHere(`${sysRoot}/class/net/${port}`));
}

/**
 * veth, tap and dummy devices: they have no hardware, no type of their own and no device below.
 * What else may be a port (network cards, VLANs, bonds, tunnels) may lead off the host.
 */
function endsHere(path: string): boolean {
  if (existsSync(`${path}/device`)) return false;
  if (/^DEVTYPE=/m.test(readText(`${path}/uevent`))) return false;
  if (Number(readText(`${path}/iflink`)) <= 0) return false;
  return !list(path).some((entry) => entry.startsWith('lower_'));
}

interface Route {
  readonly destination: number;
  readonly mask: number;
}

/** IPv4 routes by a gateway, the default route excepted (proc(5), net/route). */
function readRoutes(procRoot: string): Route[] {
  return readText(`${procRoot}/self/net/route`)
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, destination = '', gateway = '', , , , , mask = ''] = line.split('\t');
      const route = { destination: bigEndian(destination), mask: bigEndian(mask) };
      return route.mask === 0 || bigEndian(gateway) === 0 ? [] : [route];
    });
}

const SIBLING_BITS = 16;

/** Whether a route leads to a network of the same size next to an address's own. */
function isSibling({ destination, mask }: Route, { address, prefix }: Network): boolean {
  if (address.includes(':') || mask !== maskOf(prefix) || prefix <= SIBLING_BITS) return false;
  const own = address.split('.').reduce((value, part) => value * 256 + Number(part), 0);
  return (destination & maskOf(SIBLING_BITS)) === (own & maskOf(SIBLING_BITS));
}

/** As a signed 32-bit number, as all that bit operators give. */
function maskOf(prefix: number): number {
  return prefix === 0 ? 0 : -1 << (32 - prefix);
}

/** The kernel prints addresses as numbers of a little-endian machine. */
function bigEndian(hex: string): number {
  const bytes = Buffer.from(hex.padStart(8, '0').slice(0, 8), 'hex');
  return bytes.length === 4 ? bytes.readInt32LE(0) : 0;
}

/** '' where there is no such file, or no more. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch {
    return ''; // an interface that is gone tells nothing
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // as above
  }
}
