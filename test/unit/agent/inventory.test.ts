import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Inventory } from '../../../src/agent/inventory.ts';
import type { HostAddressRecord } from '../../../src/flow/records.ts';
import type { Listener } from '../../../src/process/listener-registry.ts';
import { named } from './fakes.ts';

const REFRESH_MS = 60_000;

function inventory() {
  const addresses: HostAddressRecord[] = [];
  const settled: HostAddressRecord[] = [];
  const listening: Listener[] = [];
  const made = new Inventory({
    addresses: { records: () => [...addresses], settled: (records) => settled.push(...records) },
    listening: () => listening,
    netnsName: (netns) => (netns === 1 ? '' : `net:${netns}`),
    refreshMs: REFRESH_MS,
  });
  return { inventory: made, addresses, settled, listening };
}

function owned(address: string, lastSeenMs = 0): HostAddressRecord {
  const [firstSeen, lastSeen] = [new Date(0), new Date(lastSeenMs)];
  return { address, netns: '', hostLocal: false, firstSeen, lastSeen };
}

function listener(port: number, ...owners: ReturnType<typeof named>[]): Listener {
  const endpoint = { netns: 1, address: '0.0.0.0', port };
  return { endpoint, owners, firstSeenMs: 5, lastSeenMs: 6 };
}

describe('the inventory', () => {
  it('writes a process once, and again for a new instance of it', () => {
    const { inventory: it } = inventory();
    assert.equal(it.note(named('7', 100)), '7');
    assert.deepEqual(it.take(0).processes, [named('7', 100).record]);
    it.written();
    it.note(named('7', 100));
    assert.deepEqual(it.take(0).processes, []);
    it.note(named('7', 101));
    assert.deepEqual(it.take(0).processes, [named('7', 101).record]);
  });

  it('writes a container with its processes, once a batch', () => {
    const { inventory: it } = inventory();
    it.note(named('7', 100, 'c'));
    it.note(named('8', 101, 'c'));
    it.note(named('9', 102));
    assert.deepEqual(it.take(0).containers, [{ containerId: 'c', runtime: 'docker' }]);
  });

  it('has a process for what nobody is known to own', () => {
    const { inventory: it } = inventory();
    assert.equal(it.note(null), '0');
    const [unattributed] = it.take(0).processes;
    assert.equal(unattributed?.processId, '0');
    assert.equal(unattributed?.name, '');
  });

  it('takes again what was not written, in its latest instance', () => {
    const { inventory: it } = inventory();
    it.note(named('7', 100));
    const taken = it.take(0);
    it.note(named('7', 101)); // while the write is under way
    it.failed(taken);
    assert.deepEqual(it.take(0).processes, [named('7', 101).record]);
  });

  it('takes what was refused only when it is referred to anew', () => {
    const { inventory: it } = inventory();
    it.note(named('7'));
    it.rejected(it.take(0));
    assert.deepEqual(it.take(0).processes, []);
    it.note(named('7'));
    assert.equal(it.take(0).processes.length, 1);
  });

  it('hands over everything to a CMDB that was replaced, quiet processes too', () => {
    const { inventory: it, addresses } = inventory();
    addresses.push(owned('10.0.0.1'));
    it.note(named('7', 100, 'c'));
    it.note(named('8'));
    const first = it.take(0);
    it.written();
    it.forgetWritten();
    assert.deepEqual(it.take(1), first);
  });

  it('writes addresses and listeners when they change, and now and then', () => {
    const { inventory: it, addresses, listening } = inventory();
    addresses.push(owned('10.0.0.1'));
    assert.equal(it.take(0).addresses.length, 1);
    assert.equal(it.take(1_000).addresses.length, 0);
    listening.push(listener(80, named('7'), named('7', 101), named('8')));
    const { passiveNodes, processes } = it.take(2_000);
    assert.deepEqual(
      passiveNodes.map(({ processId, address, port, netns }) => [processId, address, port, netns]),
      [
        ['7', '0.0.0.0', 80, ''],
        ['8', '0.0.0.0', 80, ''],
      ],
    );
    assert.notEqual(passiveNodes[0]?.nodeId, passiveNodes[1]?.nodeId);
    assert.equal(processes.length, 2);
    assert.equal(it.take(3_000).passiveNodes.length, 0);
    assert.equal(it.take(2_000 + REFRESH_MS).passiveNodes.length, 2);
  });

  it('says when there is nothing to take', () => {
    const { inventory: it, listening } = inventory();
    assert.equal(it.isUnchanged(0), false);
    it.take(0);
    assert.equal(it.isUnchanged(0), true);
    it.note(named('7'));
    assert.equal(it.isUnchanged(0), false);
    it.failed(it.take(0));
    assert.equal(it.isUnchanged(0), false);
    it.take(0);
    assert.equal(it.isUnchanged(0), true);
    listening.push(listener(80, named('7')));
    assert.equal(it.isUnchanged(0), false);
    it.take(0);
    assert.equal(it.isUnchanged(0), true);
    assert.equal(it.isUnchanged(REFRESH_MS), false);
  });

  it('writes addresses no earlier for having seen them again, and settles what was written', () => {
    const { inventory: it, addresses, settled } = inventory();
    addresses.push(owned('10.0.0.1'));
    it.failed(it.take(0));
    assert.deepEqual(settled, []);
    const { addresses: written } = it.take(1_000);
    it.written();
    assert.deepEqual([settled, written], [[owned('10.0.0.1')], [owned('10.0.0.1')]]);
    addresses.splice(0, 1, owned('10.0.0.1', 2_000));
    assert.deepEqual(it.take(2_000).addresses, []);
    addresses.push(owned('10.0.0.2', 2_000));
    assert.equal(it.take(3_000).addresses.length, 2);
  });

  it('names nobody for a listener without owner', () => {
    const { inventory: it, listening } = inventory();
    listening.push(listener(80));
    assert.deepEqual(
      it.take(0).passiveNodes.map((node) => node.processId),
      ['0'],
    );
  });

  it('remembers a bounded number of processes, and none is lost over it', () => {
    const { inventory: it } = inventory();
    for (let n = 1; n <= 20_010; n++) it.note(named(String(n)));
    const failing = it.take(0);
    assert.equal(failing.processes.length, 20_010);
    it.failed(failing);
    assert.equal(it.take(0).processes.length, 20_010);
    it.written();
    it.forgetWritten();
    const again = it.take(0).processes;
    assert.equal(again.length, 20_000);
    assert.equal(again[0]?.processId, '11');
  });
});
