import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { describeHost } from '../../../src/agent/host.ts';
import { temporaryDirectory } from './fakes.ts';

const root = temporaryDirectory();
const MACHINE_ID = '0123456789abcdef0123456789abcdef';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
let made = 0;

function host(changes: { machineId?: string; hostId?: string; hostName?: string } = {}) {
  const dataDir = join(root, String(made++));
  mkdirSync(dataDir);
  const path = join(dataDir, 'machine-id');
  if (changes.machineId !== undefined) writeFileSync(path, changes.machineId);
  const question = {
    hostId: changes.hostId,
    hostName: changes.hostName,
    dataDir,
    agentVersion: '1.2.3',
    machineIdPaths: [join(dataDir, 'nowhere'), path],
  };
  return { dataDir, describe: () => describeHost(question) };
}

describe('the host id', () => {
  it('is the same at every start and another for every machine', () => {
    const id = host({ machineId: `${MACHINE_ID}\n` }).describe().hostId;
    assert.equal(host({ machineId: MACHINE_ID.toUpperCase() }).describe().hostId, id);
    assert.notEqual(host({ machineId: MACHINE_ID.replace('0', '1') }).describe().hostId, id);
  });

  it('is a UUID of version 8 (RFC 9562)', () => {
    for (let n = 0; n < 32; n++) {
      const machineId = n.toString(16).padStart(32, '0');
      const { hostId } = host({ machineId }).describe();
      assert.match(hostId, UUID);
      assert.equal(hostId[14], '8');
      assert.match(hostId[19] ?? '', /[89ab]/);
    }
  });

  it('is keyed by machine and application, so that it does not tell the machine-id', () => {
    const { hostId } = host({ machineId: MACHINE_ID }).describe();
    const hex = hostId.replaceAll('-', '');
    for (let at = 0; at + 4 <= MACHINE_ID.length; at++) {
      assert.ok(!hex.includes(MACHINE_ID.slice(at, at + 6)));
    }
    const digest = createHmac('sha256', MACHINE_ID).update('transtracer host id v1').digest('hex');
    assert.equal(hex.slice(0, 12), digest.slice(0, 12));
  });

  it('is made once and kept where there is no machine-id', () => {
    for (const machineId of [undefined, '', 'uninitialized\n', 'abc']) {
      const { describe: ask, dataDir } = host(machineId === undefined ? {} : { machineId });
      const { hostId } = ask();
      assert.match(hostId, UUID);
      assert.equal(ask().hostId, hostId);
      assert.equal(readFileSync(join(dataDir, 'host-id'), 'utf8'), `${hostId}\n`);
    }
  });

  it('is made anew when what was kept is damaged', () => {
    const { describe: ask, dataDir } = host();
    writeFileSync(join(dataDir, 'host-id'), 'garbage');
    const { hostId } = ask();
    assert.match(hostId, UUID);
    assert.equal(ask().hostId, hostId);
  });

  it('can be given, and so can the name', () => {
    const hostId = '00000000-0000-4000-8000-000000000001';
    const given = host({ machineId: MACHINE_ID, hostId, hostName: 'web-1' }).describe();
    assert.equal(given.hostId, hostId);
    assert.equal(given.name, 'web-1');
    assert.equal(host({ machineId: MACHINE_ID }).describe().name, hostname());
  });

  it('comes with the boot and the versions', () => {
    const { bootId, agentVersion, kernelRelease } = host().describe();
    assert.match(bootId ?? '', UUID);
    assert.equal(agentVersion, '1.2.3');
    assert.match(kernelRelease, /^\d+\.\d+/);
  });
});
