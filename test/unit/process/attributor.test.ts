import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FlowEndpoints, ProcessRef } from '../../../src/events/event.ts';
import { Attributor, type Namer } from '../../../src/process/attributor.ts';
import type { KernelIdentity, NamedProcess } from '../../../src/process/identity.ts';
import { named } from './named.ts';

const NETNS = 1;
const ENDPOINT = { netns: NETNS, address: '0.0.0.0', port: 80 };

/** Knows the processes that live, and remembers those it named. */
class FakeNamer implements Namer {
  readonly #living: ReadonlyMap<number, NamedProcess>;
  readonly #named = new Map<number, NamedProcess>();

  constructor(...living: readonly NamedProcess[]) {
    this.#living = new Map(living.map((process) => [process.record.pid, process]));
  }

  fromKernel({ pid, ppid, comm, startTimeNs }: KernelIdentity): NamedProcess {
    const process = { ...named(comm, pid, ppid), startTimeNs };
    this.#named.set(pid, process);
    return process;
  }

  fromPid(pid: number, startTimeNs: bigint): NamedProcess | 'vanished' {
    const process = this.#living.get(pid);
    return process?.startTimeNs === startTimeNs ? process : 'vanished';
  }

  lookup(pid: number, startTimeNs: bigint): NamedProcess | undefined {
    const process = this.#named.get(pid);
    return process?.startTimeNs === startTimeNs ? process : undefined;
  }
}

function ref({ record, startTimeNs }: NamedProcess): ProcessRef {
  return { pid: record.pid, startTimeNs };
}

function identity(process: NamedProcess): KernelIdentity {
  const { name, pid, pgid, uid, exe } = process.record;
  const { ppid, startTimeNs } = process;
  return { pid, startTimeNs, ppid, pgid, uid, comm: name, exe, cgroupId: 0n };
}

function flow(direction: FlowEndpoints['direction'], process: NamedProcess | null): FlowEndpoints {
  return {
    netns: NETNS,
    direction,
    local: '10.0.0.10',
    peer: '10.0.0.11',
    servicePort: 80,
    process: process === null ? null : ref(process),
  };
}

/** A complete snapshot of the LISTEN set: one socket and its owners. */
function listeners(...owners: readonly (NamedProcess | null)[]) {
  return {
    kind: 'listeners',
    atMs: 1,
    complete: true,
    listeners: owners.map((it) => ({
      endpoint: ENDPOINT,
      owner: it === null ? null : ref(it),
      shared: false,
    })),
  } as const;
}

const MASTER = named('nginx:root', 100);
const WORKER = named('nginx:www-data', 101, 100);
const CURL = named('curl', 200);

describe('Attributor', () => {
  it('names a flow by the identity it was announced with, also when its process is gone', () => {
    const attributor = new Attributor(new FakeNamer());
    const announced = attributor.announced(flow('active', CURL), identity(CURL));
    assert.equal(announced.record.name, 'curl');
    assert.equal(attributor.counted(flow('active', CURL)), announced);
    assert.equal(attributor.unattributed, 0);
  });

  it('looks up a process that was never announced', () => {
    const attributor = new Attributor(new FakeNamer(CURL));
    assert.equal(attributor.counted(flow('active', CURL)), CURL);
  });

  it('takes no other instance of a pid for the one an event means', () => {
    const attributor = new Attributor(new FakeNamer(CURL));
    assert.equal(attributor.counted(flow('active', { ...CURL, startTimeNs: 1n })), null);
    assert.equal(attributor.unattributed, 1);
  });

  it('names a passive flow without a process by who accepts there, an active one by nobody', () => {
    const attributor = new Attributor(new FakeNamer(MASTER, WORKER));
    attributor.observe(listeners(MASTER, WORKER));
    assert.equal(attributor.counted(flow('passive', null)), WORKER);
    assert.equal(attributor.counted(flow('active', null)), null);
    assert.equal(attributor.counted(flow('unknown', null)), null);
    assert.equal(attributor.unattributed, 2);
  });

  it('names a passive flow whose process has vanished by who accepts there', () => {
    const attributor = new Attributor(new FakeNamer(WORKER));
    attributor.observe(listeners(WORKER));
    const gone = named('nginx:www-data', 555, 100);
    assert.equal(attributor.counted(flow('passive', gone)), WORKER);
  });

  it('believes what it saw accept before the list of owners', () => {
    const [one, two] = [named('one', 10), named('two', 11)];
    for (const evidence of ['announced', 'counted'] as const) {
      const attributor = new Attributor(new FakeNamer(one, two));
      attributor.observe(listeners(one, two));
      assert.equal(attributor.counted(flow('passive', null)), null, 'either could be it');
      if (evidence === 'announced') attributor.announced(flow('passive', two), identity(two));
      else attributor.counted(flow('passive', two));
      assert.equal(attributor.counted(flow('passive', null))?.record.name, 'two');
    }
  });

  it('counts for whoever announced a flow, whatever its process is by now', () => {
    const before = named('before', 10);
    const after = { ...named('after', 10), startTimeNs: before.startTimeNs };
    const attributor = new Attributor(new FakeNamer());
    const elsewhere = { ...flow('active', after), servicePort: 81 };
    attributor.announced(flow('active', before), identity(before));
    attributor.announced(elsewhere, identity(after));
    assert.equal(attributor.counted(flow('active', before))?.record.name, 'before');
    assert.equal(attributor.counted(elsewhere)?.record.name, 'after');
    attributor.announced(flow('active', after), identity(after));
    assert.equal(attributor.counted(flow('active', before))?.record.name, 'after', 'told anew');
  });

  it('learns nothing of listeners from active flows', () => {
    const [one, two] = [named('one', 10), named('two', 11)];
    const attributor = new Attributor(new FakeNamer(one, two));
    attributor.observe(listeners(one, two));
    attributor.announced(flow('active', one), identity(one));
    attributor.counted(flow('active', one));
    assert.equal(attributor.counted(flow('passive', null)), null);
  });

  it('follows listeners as they open and close', () => {
    const attributor = new Attributor(new FakeNamer());
    const opened = { kind: 'listen-opened', atMs: 1, endpoint: ENDPOINT } as const;
    attributor.observe({ ...opened, identity: identity(MASTER) });
    assert.equal(attributor.counted(flow('passive', null))?.record.name, 'nginx:root');
    assert.equal([...attributor.listeners.listening()].length, 0, 'no snapshot has shown it');
    attributor.observe(listeners(MASTER));
    assert.equal([...attributor.listeners.listening()].length, 1);
    attributor.observe({ kind: 'listen-closed', atMs: 2, endpoint: ENDPOINT });
    assert.equal([...attributor.listeners.listening()].length, 0);
    assert.equal(attributor.counted(flow('passive', null))?.record.name, 'nginx:root', 'retained');
  });

  it('leaves out owners that vanished while the snapshot was read', () => {
    const attributor = new Attributor(new FakeNamer(WORKER));
    attributor.observe(listeners(MASTER, WORKER, null));
    const [listener] = attributor.listeners.listening();
    assert.deepEqual(listener?.owners, [WORKER]);
    attributor.observe(listeners(named('gone', 999)));
    assert.deepEqual([...attributor.listeners.listening()][0]?.owners, []);
  });
});
