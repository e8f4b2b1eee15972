import { networkInterfaces } from 'node:os';
import type { FlowEndpoints } from '../events/event.ts';
import type { HostLocality } from '../flow/flow-table.ts';
import type { HostAddressRecord } from '../flow/records.ts';
import { isHostLocal, netnsLabel } from '../flow/scope.ts';
import { parseFibTrie, parseIfInet6 } from '../process/net-files.ts';
import { ProcFs } from '../process/proc-fs.ts';
import { AddressBook, type PlacedAddress } from './address-book.ts';
import { bridgeNetworks, type InterfaceAddress } from './bridges.ts';
import { type Network, NetworkSet } from './cidr.ts';

export interface HostNetworksOptions {
  readonly procRoot: string;
  readonly sysRoot: string;
  readonly netns: 'all' | 'own';
  /** Networks of this host only, besides those that are found out. */
  readonly hostLocal: readonly Network[];
  /** Networks that mean the same on every host, whatever seems to be the case. */
  readonly fleet: readonly Network[];
  /** Addresses of the interfaces that are up in the agent's own namespace. */
  readonly interfaces?: () => InterfaceAddress[];
}

/** How often all namespaces are looked through for addresses. */
const SCAN_INTERVAL_MS = 60_000;
/** Unknown addresses, as of a transparent proxy, are looked for no more often. */
const LOOK_INTERVAL_MS = 100;
const MAX_CACHED = 50_000;

/**
 * The addresses of this host and its containers, and which of them mean nothing elsewhere. The own
 * namespace is read at each flush, the others once a minute; and whatever a new flow's address may
 * be in, at once. No namespace is entered: /proc shows what a process there sees.
 */
export class HostNetworks implements HostLocality {
  readonly #options: HostNetworksOptions;
  readonly #proc: ProcFs;
  readonly #home: number;
  readonly #book = new AddressBook();
  /** Networks stay local once they were: the flows known so far must keep their ids. */
  readonly #local: NetworkSet;
  readonly #fleet: NetworkSet;
  readonly #isLocal = new Map<string, boolean>();
  /** Local addresses of the own namespace that no interface has, as of a transparent proxy. */
  readonly #unexplained = new Set<string>();
  #lookedMs = Number.NEGATIVE_INFINITY;
  #scannedMs = Number.NEGATIVE_INFINITY;

  constructor(options: HostNetworksOptions) {
    this.#options = options;
    this.#proc = new ProcFs(options.procRoot);
    this.#home = this.#proc.netns('self') ?? 0;
    this.#local = new NetworkSet(options.hostLocal);
    this.#fleet = new NetworkSet(options.fleet);
  }

  isLocal(address: string): boolean {
    const known = this.#isLocal.get(address);
    if (known !== undefined) return known;
    if (this.#isLocal.size >= MAX_CACHED) this.#isLocal.clear();
    const isLocal = isHostLocal(address) || (this.#local.has(address) && !this.#fleet.has(address));
    this.#isLocal.set(address, isLocal);
    return isLocal;
  }

  noteLocal({ netns, local, process }: FlowEndpoints, atMs: number): void {
    const name = netnsLabel(netns, this.#home);
    if (this.#book.has(name, local) || isHostLocal(local) || isWildcard(local)) return;
    if (name === '') {
      if (!this.#unexplained.has(local)) this.#noteHome(local, atMs);
      return;
    }
    this.#lookHome(atMs); // a bridge may have come up with the first container
    if (process !== null && this.#proc.netns(process.pid) === netns) {
      this.#book.replace(this.#addressesOf(process.pid, name), atMs, (other) => other === name);
    }
    // The process is gone, or /proc is closed: that a socket there has the address says enough.
    if (!this.#book.has(name, local)) this.#book.seen([this.#placed(local, name)], atMs);
  }

  /** What this host owns now, and what it gave up and is not settled. */
  records(nowMs: number): HostAddressRecord[] {
    this.#lookHome(nowMs);
    const isDue = Math.abs(nowMs - this.#scannedMs) >= SCAN_INTERVAL_MS;
    if (this.#options.netns === 'all' && isDue) this.#scan(nowMs);
    return this.#book.records();
  }

  settled(records: readonly HostAddressRecord[]): void {
    this.#book.settled(records);
  }

  #noteHome(local: string, atMs: number): void {
    if (Math.abs(atMs - this.#lookedMs) < LOOK_INTERVAL_MS) return;
    this.#lookHome(atMs);
    if (this.#book.has('', local)) return;
    if (this.#unexplained.size >= MAX_CACHED) this.#unexplained.clear();
    this.#unexplained.add(local);
  }

  #lookHome(atMs: number): void {
    this.#lookedMs = atMs;
    const interfaces = (this.#options.interfaces ?? systemInterfaces)();
    let isNew = false;
    for (const network of bridgeNetworks(interfaces, this.#options)) {
      isNew = this.#local.add(network) || isNew;
    }
    if (isNew) this.#isLocal.clear();
    const addresses = new Set(interfaces.map(({ address }) => address.replace(/%.*$/, '')));
    const placed = [...addresses].map((address) => this.#placed(address, ''));
    this.#book.replace(placed, atMs, (netns) => netns === '');
  }

  /** Reads each other network namespace by way of one of its processes. */
  #scan(atMs: number): void {
    this.#scannedMs = atMs;
    this.#unexplained.clear();
    const seen = new Set([this.#home]);
    const addresses: PlacedAddress[] = [];
    for (const pid of this.#proc.pids()) {
      const netns = this.#proc.netns(pid);
      if (netns === null || seen.has(netns)) continue;
      seen.add(netns);
      addresses.push(...this.#addressesOf(pid, netnsLabel(netns, this.#home)));
    }
    this.#book.replace(addresses, atMs, (netns) => netns !== '');
  }

  #addressesOf(pid: number, netns: string): PlacedAddress[] {
    const ipv4 = parseFibTrie(this.#proc.netFile(pid, 'fib_trie') ?? '');
    const ipv6 = parseIfInet6(this.#proc.netFile(pid, 'if_inet6') ?? '');
    return [...ipv4, ...ipv6].map((address) => this.#placed(address, netns));
  }

  #placed(address: string, netns: string): PlacedAddress {
    return { address, netns, hostLocal: this.isLocal(address) };
  }
}

function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

function systemInterfaces(): InterfaceAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? []).map(({ address, mac, cidr }) => ({
      name,
      mac,
      address,
      prefix: Number(cidr?.split('/')[1] ?? (address.includes(':') ? 128 : 32)),
    })),
  );
}
