import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { InterfaceAddress } from '../../../src/agent/bridges.ts';
import { parseNetworks } from '../../../src/agent/cidr.ts';
import { HostNetworks, type HostNetworksOptions } from '../../../src/agent/host-networks.ts';
import type { FlowEndpoints } from '../../../src/events/event.ts';

const HOME = 1;
const MAC = '02:42:00:00:00:01';
const MINUTE_MS = 60_000;
const roots: string[] = [];

after(() => {
  for (const root of roots) rmSync(root, { recursive: true });
});

/** A host made of files. */
class FakeHost {
  readonly root = mkdtempSync(join(tmpdir(), 'host-'));
  interfaces: InterfaceAddress[] = [at('lo', '127.0.0.1', 8), at('eth0', '10.0.0.1', 24)];

  constructor() {
    roots.push(this.root);
    this.#link('proc/self/ns/net', `net:[${HOME}]`);
    this.process(1, HOME, []);
  }

  networks(options: Partial<HostNetworksOptions> = {}): HostNetworks {
    return new HostNetworks({
      procRoot: join(this.root, 'proc'),
      sysRoot: join(this.root, 'sys'),
      netns: 'all',
      hostLocal: [],
      fleet: [],
      interfaces: () => this.interfaces,
      ...options,
    });
  }

  process(pid: number, netns: number, addresses: readonly string[]): void {
    this.#link(`proc/${pid}/ns/net`, `net:[${netns}]`);
    const leaves = addresses.map(
      (it) => `  |-- ${it}\n     /32 link UNICAST\n     /32 host LOCAL\n`,
    );
    const trie = `  |-- 10.9.9.0\n     /24 link UNICAST\n  |-- 10.9.9.255\n     /32 link BROADCAST\n`;
    this.#file(
      `proc/${pid}/net/fib_trie`,
      `Main:\n${trie}${leaves.join('')}Local:\n${leaves.join('')}`,
    );
    this.#file(
      `proc/${pid}/net/if_inet6`,
      `fd00000000000000000000000000000${pid} 04 40 00 82 eth0\n`,
    );
  }

  end(pid: number): void {
    rmSync(join(this.root, `proc/${pid}`), { recursive: true });
  }

  /** @param files of the port, besides those that every device has */
  bridge(
    name: string,
    address: string,
    prefix: number,
    files: Readonly<Record<string, string>> = {},
  ) {
    const path = `sys/class/net/${name}`;
    this.#file(`${path}/bridge/bridge_id`, 'x');
    this.#file(`${path}/address`, `${MAC}\n`);
    this.#file(`${path}/brif/port-${name}/state`, '3');
    const port = { iflink: '7\n', uevent: 'INTERFACE=port\n', ...files };
    for (const [file, text] of Object.entries(port)) {
      this.#file(`sys/class/net/port-${name}/${file}`, text);
    }
    this.interfaces.push(at(name, address, prefix));
  }

  route(destination: string, gateway: string, mask: string): void {
    const head = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n';
    this.#file(
      'proc/self/net/route',
      `${head}flannel.1\t${hex(destination)}\t${hex(gateway)}\t0003\t0\t0\t0\t${hex(mask)}\t0\n`,
    );
  }

  #file(path: string, text: string): void {
    mkdirSync(join(this.root, dirname(path)), { recursive: true });
    writeFileSync(join(this.root, path), text);
  }

  #link(path: string, target: string): void {
    mkdirSync(join(this.root, dirname(path)), { recursive: true });
    symlinkSync(target, join(this.root, path));
  }
}

function at(name: string, address: string, prefix: number): InterfaceAddress {
  return { name, mac: MAC, address, prefix };
}

/** As the kernel of a little-endian machine prints an address. */
function hex(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return bytes.reverse().join('').toUpperCase();
}

function flow(local: string, netns: number, pid: number | null): FlowEndpoints {
  const process = pid === null ? null : { pid, startTimeNs: 1n };
  return { netns, direction: 'active', local, peer: '10.0.0.9', servicePort: 80, process };
}

/** `ADDRESS NETNS FROM-TO` in minutes, `!` for what is host-local. */
function owned(networks: HostNetworks, atMs: number): string[] {
  return networks
    .records(atMs)
    .filter(({ address }) => !address.includes(':') && address !== '127.0.0.1')
    .map(({ address, netns, hostLocal, firstSeen, lastSeen }) => {
      const [from, to] = [firstSeen, lastSeen].map((time) => time.getTime() / MINUTE_MS);
      return `${hostLocal ? '!' : ''}${address} ${netns} ${from}-${to}`;
    })
    .sort();
}

describe('addresses of a host', () => {
  it('are owned from when they are seen until they are gone, and anew when they come back', () => {
    const host = new FakeHost();
    const networks = host.networks();
    const vip = at('eth0', '10.0.0.100', 32);
    host.interfaces.push(vip);
    networks.records(0);
    networks.records(MINUTE_MS);
    host.interfaces.pop();
    networks.records(2 * MINUTE_MS);
    host.interfaces.push(vip);
    const taken = networks.records(3 * MINUTE_MS);
    const all = ['10.0.0.1  0-4', '10.0.0.100  0-1', '10.0.0.100  3-4'];
    assert.deepEqual(owned(networks, 4 * MINUTE_MS), all);
    networks.settled(taken);
    assert.deepEqual(owned(networks, 4 * MINUTE_MS), [all[0], all[2]]);
  });

  it('are those of every namespace a process is in, and none of one that is gone', () => {
    const host = new FakeHost();
    host.process(5, 2, ['172.30.0.2']);
    const networks = host.networks();
    const first = networks.records(0);
    const ipv6 = first.find(({ address }) => address === 'fd00::5');
    assert.deepEqual([ipv6?.netns, ipv6?.hostLocal], ['net:2', false]);
    host.end(5);
    host.process(6, 3, ['172.30.0.2']);
    assert.deepEqual(owned(networks, 2 * MINUTE_MS), [
      '10.0.0.1  0-2',
      '172.30.0.2 net:2 0-0',
      '172.30.0.2 net:3 2-2',
    ]);
    assert.deepEqual(owned(host.networks({ netns: 'own' }), 0), ['10.0.0.1  0-0']);
  });

  it('are learnt at once from a flow that has one not known yet', () => {
    const host = new FakeHost();
    const networks = host.networks();
    networks.records(0);
    host.process(5, 2, ['172.30.0.2', '172.30.0.3']);
    networks.noteLocal(flow('172.30.0.2', 2, 5), 1_000);
    networks.noteLocal(flow('172.30.0.4', 4, 99), 2_000); // already gone
    host.interfaces.push(at('eth0', '10.0.0.100', 32));
    networks.noteLocal(flow('10.0.0.100', HOME, 1), 3_000);
    networks.noteLocal(flow('198.51.100.1', HOME, 1), 4_000); // a transparent proxy's
    const learnt = networks.records(5_000).filter(({ netns }) => netns !== '');
    const names = learnt.map(({ address, netns }) => `${address} ${netns}`).sort();
    assert.deepEqual(names.slice(0, 3), [
      '172.30.0.2 net:2',
      '172.30.0.3 net:2',
      '172.30.0.4 net:4',
    ]);
    const own = owned(networks, 5_000).filter((line) => !line.includes('net:'));
    assert.deepEqual(
      own.map((line) => line.split(' ')[0]),
      ['10.0.0.1', '10.0.0.100'],
    );
  });
});

describe('networks of one host only', () => {
  it('are those of bridges without uplink, found when the first container is', () => {
    const host = new FakeHost();
    const networks = host.networks();
    networks.records(0);
    assert.equal(networks.isLocal('172.17.0.2'), false);
    host.bridge('docker0', '172.17.0.1', 16);
    host.process(5, 2, ['172.17.0.2']);
    networks.noteLocal(flow('172.17.0.2', 2, 5), 1_000);
    assert.deepEqual(
      ['172.17.0.2', '172.17.200.1', '172.18.0.1', '10.0.0.1', '127.0.0.1', 'fe80::1'].map((it) =>
        networks.isLocal(it),
      ),
      [true, true, false, false, true, true],
    );
    assert.deepEqual(
      owned(networks, 1_000)
        .map((line) => line.split(' ')[0])
        .sort(),
      ['!172.17.0.1', '!172.17.0.2', '10.0.0.1'],
    );
    host.interfaces.pop(); // the last container has ended; ids must not change for that
    networks.records(MINUTE_MS);
    assert.equal(networks.isLocal('172.17.0.2'), true);
  });

  it('are none whose ports lead off the host, nor public ones', () => {
    const ports = [
      { 'device/vendor': 'x' },
      { uevent: 'DEVTYPE=vlan\n' },
      { 'lower_eth0/x': '' },
      { iflink: '0\n' },
    ];
    for (const files of ports) {
      const host = new FakeHost();
      host.bridge('br0', '192.168.1.1', 24, files);
      const networks = host.networks();
      networks.records(0);
      assert.equal(networks.isLocal('192.168.1.7'), false, JSON.stringify(files));
    }
    const host = new FakeHost();
    host.bridge('br0', '203.0.113.1', 24);
    const networks = host.networks();
    networks.records(0);
    assert.equal(networks.isLocal('203.0.113.2'), false);
  });

  it('are none that sysfs shows of another namespace', () => {
    const host = new FakeHost();
    host.bridge('br0', '172.17.0.1', 16);
    host.interfaces = [{ ...at('br0', '172.17.0.1', 16), mac: '02:00:00:00:00:99' }];
    const networks = host.networks();
    networks.records(0);
    assert.equal(networks.isLocal('172.17.0.2'), false);
  });

  it('are none of which a sibling is routed to a gateway, as pod networks are', () => {
    const host = new FakeHost();
    host.bridge('cni0', '10.244.1.1', 24);
    const isLocal = () => {
      const networks = host.networks();
      networks.records(0);
      return networks.isLocal('10.244.1.5');
    };
    host.route('10.245.2.0', '10.245.2.0', '255.255.255.0');
    assert.equal(isLocal(), true);
    host.route('10.244.2.0', '10.244.2.0', '255.255.255.0');
    assert.equal(isLocal(), false);
  });

  it('can be given, and denied', () => {
    const host = new FakeHost();
    host.bridge('docker0', '172.17.0.1', 16);
    const networks = host.networks({
      hostLocal: parseNetworks('192.168.5.0/24, fd00:5::/64', '--host-local'),
      fleet: parseNetworks('172.17.0.0/16', '--fleet-network'),
    });
    networks.records(0);
    const asked = ['192.168.5.9', 'fd00:5::1', '172.17.0.2'];
    assert.deepEqual(
      asked.map((it) => networks.isLocal(it)),
      [true, true, false],
    );
    for (const bad of ['', '10.0.0.0', '10.0.0.0/33', 'x/8', '::/129', '10.0.0.0/8,']) {
      assert.throws(
        () => parseNetworks(bad, '--host-local'),
        /^UserError: --host-local: ".*" is no network/,
      );
    }
  });
});
