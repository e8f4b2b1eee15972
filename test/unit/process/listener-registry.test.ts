import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NamedProcess } from '../../../src/process/identity.ts';
import { ListenerRegistry } from '../../../src/process/listener-registry.ts';
import { named } from './named.ts';

const HOST = 1;
const CONTAINER = 2;
const MINUTE = 60_000;

const ANY = { netns: HOST, address: '0.0.0.0', port: 80 };
const ANY6 = { netns: HOST, address: '::', port: 80 };
const LOOPBACK = { netns: HOST, address: '127.0.0.1', port: 80 };

const MASTER = named('nginx:root', 100);
const WORKERS = [101, 102, 103].map((pid) => named('nginx:www-data', pid, 100));
const [WORKER] = WORKERS;

function shown(endpoint: typeof ANY, ...owners: readonly (NamedProcess | null)[]) {
  return owners.map((owner) => ({ endpoint, owner, shared: false }));
}

function owner(registry: ListenerRegistry, address: string, port = 80, netns = HOST) {
  return registry.ownerOf(netns, address, port)?.record.name ?? null;
}

function ports(registry: ListenerRegistry): number[] {
  return [...registry.listening()].map(({ endpoint }) => endpoint.port);
}

describe('ListenerRegistry names who accepts', () => {
  it('the workers of a master that opened the socket for them', () => {
    const registry = new ListenerRegistry();
    registry.opened(ANY, MASTER, 0);
    assert.equal(owner(registry, '10.0.0.10'), 'nginx:root', 'all that is known yet');
    registry.replace(shown(ANY, MASTER, ...WORKERS), true, 1);
    assert.equal(owner(registry, '10.0.0.10'), 'nginx:www-data');
    const [listener] = registry.listening();
    assert.deepEqual(listener?.owners, WORKERS, 'the master is no passive node');
  });

  it('the service to which the init system passed the socket', () => {
    const registry = new ListenerRegistry();
    registry.opened(ANY, named('systemd', 1, 0), 0);
    registry.replace(shown(ANY, named('systemd', 1, 0), named('cups', 500, 1)), true, 1);
    assert.equal(owner(registry, '10.0.0.10'), 'cups');
  });

  it('a master whose grandchildren accept', () => {
    const registry = new ListenerRegistry();
    const owners = [named('emperor', 10), named('vassal', 11, 10), named('worker', 12, 11)];
    registry.replace(shown(ANY, ...owners), true, 0);
    assert.equal(owner(registry, '10.0.0.10'), 'worker');
  });

  it('nobody where owners of different nodes listen, or none is known', () => {
    const registry = new ListenerRegistry();
    registry.replace(shown(ANY, named('a', 10), named('b', 11)), true, 0);
    registry.replace(
      [
        ...shown(ANY, named('a', 10), named('b', 11)),
        ...shown({ ...ANY, port: 81 }, null),
        ...shown({ ...ANY, port: 82 }, null, named('c', 12)),
      ],
      true,
      1,
    );
    assert.deepEqual(
      [80, 81, 82, 83].map((port) => owner(registry, '10.0.0.10', port)),
      [null, null, 'c', null],
    );
  });

  it('the process that was seen to accept, among owners that differ', () => {
    const registry = new ListenerRegistry();
    const [a, b] = [named('a', 10), named('b', 11)];
    registry.replace(shown(ANY, a, b), true, 0);
    registry.accepted(HOST, '10.0.0.10', 80, b);
    assert.equal(owner(registry, '10.0.0.99'), 'b');
    registry.accepted(HOST, '10.0.0.10', 80, a);
    assert.equal(owner(registry, '10.0.0.99'), null, 'both do');
  });

  it('a worker seen to accept before any snapshot has shown it', () => {
    const registry = new ListenerRegistry();
    registry.opened(ANY, MASTER, 0);
    registry.accepted(HOST, '10.0.0.10', 80, WORKER ?? MASTER);
    assert.equal(owner(registry, '10.0.0.10'), 'nginx:www-data');
  });

  it('nobody where an owner had children that could accept, until somebody was seen to', () => {
    const registry = new ListenerRegistry();
    const worker = named('smtpd', 101, MASTER.record.pid);
    const sharing = (...owners: readonly NamedProcess[]) =>
      owners.map((it) => ({ endpoint: ANY, owner: it, shared: it === MASTER }));
    registry.replace(sharing(MASTER), true, 0);
    assert.equal(owner(registry, '10.0.0.10'), null);
    registry.replace(sharing(MASTER, worker), true, 1);
    assert.equal(owner(registry, '10.0.0.10'), 'smtpd', 'the worker that is still there');
    registry.replace(shown(ANY, MASTER), true, 2);
    assert.equal(owner(registry, '10.0.0.10'), null, 'it had children, though not told again');
    registry.accepted(HOST, '10.0.0.10', 80, worker);
    assert.equal(owner(registry, '10.0.0.10'), 'smtpd');
    registry.accepted(HOST, '10.0.0.10', 80, MASTER);
    assert.equal(owner(registry, '10.0.0.10'), null, 'both do');
  });

  it('not the server that was there before, although it was seen to accept', () => {
    for (const closedSeen of [true, false]) {
      const registry = new ListenerRegistry();
      registry.opened(ANY, MASTER, 0);
      registry.accepted(HOST, '10.0.0.10', 80, WORKER ?? MASTER);
      if (closedSeen) {
        registry.closed(ANY, 1);
        registry.opened(ANY, named('apache', 200), 2);
      } else {
        registry.replace(shown(ANY, named('apache', 200)), true, 2);
      }
      assert.equal(owner(registry, '10.0.0.10'), 'apache');
      // A connection of the old one ends only now.
      registry.accepted(HOST, '10.0.0.10', 80, WORKER ?? MASTER);
      assert.equal(owner(registry, '10.0.0.10'), 'apache');
    }
  });
});

describe('ListenerRegistry finds the socket the kernel would', () => {
  it('the address itself before any wildcard, IPv4 before IPv6', () => {
    const registry = new ListenerRegistry();
    registry.opened(ANY6, named('six', 10), 0);
    assert.equal(owner(registry, '127.0.0.1'), 'six', 'an IPv6 wildcard accepts IPv4');
    registry.opened(ANY, named('four', 11), 0);
    registry.opened(LOOPBACK, named('local', 12), 0);
    assert.deepEqual(
      ['127.0.0.1', '127.0.0.2', '10.0.0.10', '::1', '2001:db8::1'].map((it) =>
        owner(registry, it),
      ),
      ['local', 'four', 'four', 'six', 'six'],
    );
  });

  it('never an IPv4 wildcard for an IPv6 address', () => {
    const registry = new ListenerRegistry();
    registry.opened(ANY, named('four', 11), 0);
    assert.equal(owner(registry, '2001:db8::1'), null);
  });

  it('in its network namespace and on its port only', () => {
    const registry = new ListenerRegistry();
    registry.opened(ANY, named('a', 10), 0);
    registry.opened({ ...ANY, netns: CONTAINER }, named('b', 11), 0);
    assert.deepEqual(
      [owner(registry, '10.0.0.1', 80, HOST), owner(registry, '10.0.0.1', 80, CONTAINER)],
      ['a', 'b'],
    );
    assert.equal(owner(registry, '10.0.0.1', 80, 3), null);
    assert.equal(owner(registry, '10.0.0.1', 8080), null);
  });

  it('a wildcard that listens now before an address at which nobody does any more', () => {
    const registry = new ListenerRegistry();
    registry.opened(LOOPBACK, named('old', 10), 0);
    registry.closed(LOOPBACK, 1);
    registry.opened(ANY, named('new', 11), 2);
    assert.equal(owner(registry, '127.0.0.1'), 'new');
    registry.closed(ANY, 3);
    assert.equal(owner(registry, '127.0.0.1'), 'old');
    assert.equal(owner(registry, '127.0.0.2'), 'new');
  });
});

describe('ListenerRegistry follows the LISTEN set', () => {
  it('keeps the name of a closed listener for connections that outlive it, for a while', () => {
    const registry = new ListenerRegistry();
    registry.opened(ANY, MASTER, 0);
    registry.closed(ANY, 0);
    assert.deepEqual(ports(registry), []);
    registry.replace([], true, 10 * MINUTE);
    assert.equal(owner(registry, '10.0.0.10'), 'nginx:root');
    registry.replace([], true, 10 * MINUTE + 1);
    assert.equal(owner(registry, '10.0.0.10'), null);
  });

  it('counts that while from when it was last known to listen', () => {
    const registry = new ListenerRegistry();
    registry.opened(ANY, MASTER, 0);
    registry.closed(ANY, 1);
    registry.opened(ANY, MASTER, 9 * MINUTE);
    registry.replace([], true, 9 * MINUTE + 1);
    registry.replace([], true, 18 * MINUTE);
    assert.deepEqual(ports(registry), []);
    assert.equal(owner(registry, '10.0.0.10'), 'nginx:root');
  });

  it('closes what a complete snapshot lacks, and only a complete one', () => {
    const registry = new ListenerRegistry();
    const other = { ...ANY, port: 443 };
    registry.replace([...shown(ANY, MASTER), ...shown(other, MASTER)], true, 0);
    registry.replace(shown(other, MASTER), false, 1);
    assert.deepEqual(ports(registry), [80, 443]);
    registry.replace(shown(other, MASTER), true, 2);
    assert.deepEqual(ports(registry), [443]);
    registry.replace(shown(ANY, MASTER), true, 3);
    assert.deepEqual(ports(registry), [80], 'listens again');
  });

  it('believes an event rather than the snapshot that was taken meanwhile', () => {
    const registry = new ListenerRegistry();
    const own = { ...ANY, address: '10.0.0.10' };
    registry.replace(shown(ANY, named('old', 10)), true, 0);
    registry.opened(own, named('new', 11), 5);
    registry.replace(shown(ANY, named('old', 10)), true, 6);
    assert.equal(owner(registry, '10.0.0.10'), 'new');
    registry.replace(shown(ANY, named('old', 10)), true, 30);
    assert.equal(owner(registry, '10.0.0.10'), 'old', 'the next snapshot knows better');
  });

  it('says since and until when each was seen to listen', () => {
    const registry = new ListenerRegistry();
    registry.opened(ANY, MASTER, 5);
    const seen = () => [...registry.listening()].map((it) => [it.firstSeenMs, it.lastSeenMs]);
    assert.deepEqual(seen(), [], 'its workers may be yet to come');
    registry.replace(shown(ANY, MASTER, ...WORKERS), true, 35);
    assert.deepEqual(seen(), [[5, 35]]);
    registry.closed(ANY, 40);
    registry.opened(ANY, MASTER, 50);
    assert.deepEqual(seen(), [], 'nor are the workers of a new master known');
    registry.replace(shown(ANY, MASTER, ...WORKERS), true, 65);
    assert.deepEqual(seen(), [[5, 65]]);
  });

  it('forgets the owners a snapshot no longer shows', () => {
    const registry = new ListenerRegistry();
    registry.replace(shown(ANY, named('a', 10), named('b', 11)), true, 0);
    registry.replace(shown(ANY, named('a', 10)), true, 1);
    assert.equal(owner(registry, '10.0.0.10'), 'a');
  });

  it('makes nothing of the close or the acceptor of an endpoint it does not know', () => {
    const registry = new ListenerRegistry();
    registry.closed(ANY, 0);
    registry.accepted(HOST, '10.0.0.10', 80, MASTER);
    assert.deepEqual([ports(registry), owner(registry, '10.0.0.10')], [[], null]);
  });
});
