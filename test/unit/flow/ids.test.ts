import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FlowTable } from '../../../src/flow/flow-table.ts';
import { edgeIdOf, hashId } from '../../../src/flow/ids.ts';
import { isHostLocal, netnsLabel, scopeOf } from '../../../src/flow/scope.ts';
import { BUCKET_MS, counted, ENDPOINTS, HOST_ID } from './support.ts';

/** Of 10.0.0.11 to 10.0.0.10:80, unscoped. */
const EDGE_ID = '938981144149867876';
const OTHER_HOST = '6f1c2d3e-0000-4000-8000-000000000002';

function identity(hostId: string, flow: Partial<typeof ENDPOINTS>, processId: string) {
  const table = new FlowTable({ hostId, bucketMs: BUCKET_MS });
  table.setHomeNetns(1);
  const { identity: found } = table.add(counted({ opened: 1 }, 0, 0, flow), processId) ?? {};
  assert.ok(found);
  return found;
}

describe('scope', () => {
  it('knows the addresses that mean nothing beyond their host or link', () => {
    const local = ['127.0.0.1', '127.255.255.255', '169.254.169.254', '::1', 'fe80::1', 'febf::'];
    const wide = ['10.0.0.1', '172.17.0.1', '126.0.0.1', '169.25.4.1', '2001:db8::1', '::', '::12'];
    const alike = ['fec0::1', 'fe8::1', 'fd00::1', '::1:2', '1127.0.0.1', 'fe80', '1::1'];
    assert.deepEqual([...local, ...wide, ...alike].filter(isHostLocal), local);
  });

  it('labels namespaces other than the own', () => {
    assert.deepEqual([netnsLabel(7, 7), netnsLabel(8, 7)], ['', 'net:8']);
  });

  it('is empty for addresses that mean the same everywhere, else host and namespace', () => {
    const scope = (netns: string, activeAddress: string, passiveAddress: string) =>
      scopeOf({ hostId: 'h', netns, activeAddress, passiveAddress, isLocal });
    const isLocal = (address: string) => isHostLocal(address) || address.startsWith('172.17.');
    assert.equal(scope('net:8', '10.0.0.1', '10.0.0.2'), '');
    assert.equal(scope('', '127.0.0.1', '127.0.0.2'), 'h');
    assert.equal(scope('net:8', '::1', '::1'), 'h/net:8');
    // Between namespaces of one host: both ends say the same.
    assert.equal(scope('net:8', '172.17.0.2', '172.17.0.3'), 'h');
    assert.equal(scope('', '172.17.0.2', '172.17.0.1'), 'h');
    assert.equal(scope('net:8', 'fe80::1', 'fe80::2'), 'h');
    // Outwards, and in by a published port.
    assert.equal(scope('net:8', '172.17.0.2', '10.0.0.2'), 'h>');
    assert.equal(scope('net:8', '10.0.0.2', '172.17.0.2'), 'h<');
  });
});

describe('ids', () => {
  it('are signed 64-bit decimals, never zero, and tell fields apart', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.array(fc.string()), (a, b) => {
        const id = hashId(...a);
        assert.match(id, /^-?[1-9]\d{0,18}$/);
        assert.equal(BigInt.asIntN(64, BigInt(id)), BigInt(id));
        assert.equal(id === hashId(...b), JSON.stringify(a) === JSON.stringify(b));
      }),
    );
    assert.notEqual(hashId('ab', 'c'), hashId('a', 'bc'));
    assert.equal(hashId('a', 80), hashId('a', '80'));
  });

  it('stay what they are: rows in databases are known by them', () => {
    const edge = { activeAddress: '10.0.0.11', passiveAddress: '10.0.0.10', passivePort: 80 };
    assert.equal(edgeIdOf({ ...edge, scope: '' }), EDGE_ID);
    assert.notEqual(edgeIdOf({ ...edge, scope: HOST_ID }), EDGE_ID);
  });

  it('name an edge alike from both ends, on different hosts', () => {
    const client = identity(HOST_ID, {}, 'curl');
    const ends = { local: ENDPOINTS.peer, peer: ENDPOINTS.local, netns: 99 };
    const server = identity(OTHER_HOST, { ...ends, direction: 'passive' }, 'nginx');
    assert.equal(client.edgeId, server.edgeId);
    assert.notEqual(client.flowId, server.flowId);
    assert.deepEqual(
      [server.side, server.activeAddress, server.passiveAddress, server.passivePort],
      ['passive', '10.0.0.11', '10.0.0.10', 80],
    );
  });

  it('name a loopback edge alike from both ends on one host, and no other', () => {
    const ends = { local: '127.0.0.1', peer: '127.0.0.1' };
    const edgeId = (hostId: string, direction: 'active' | 'passive', netns = 1) =>
      identity(hostId, { ...ends, direction, netns }, 'p').edgeId;
    assert.equal(edgeId(HOST_ID, 'active'), edgeId(HOST_ID, 'passive'));
    assert.equal(edgeId(HOST_ID, 'active', 2), edgeId(HOST_ID, 'passive', 2));
    const all = [edgeId(HOST_ID, 'active'), edgeId(HOST_ID, 'active', 2)];
    all.push(edgeId(OTHER_HOST, 'active'), edgeId(OTHER_HOST, 'active', 2));
    assert.equal(new Set(all).size, 4);
  });

  it('tell processes and sides of an edge apart', () => {
    const ends = { local: '127.0.0.1', peer: '127.0.0.1' };
    const ids = (['active', 'passive'] as const).flatMap((direction) =>
      ['one', 'two'].map((process) => identity(HOST_ID, { ...ends, direction }, process).flowId),
    );
    assert.equal(new Set(ids).size, 4);
  });
});
