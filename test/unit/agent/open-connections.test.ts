import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';
import { OpenConnectionsFile } from '../../../src/agent/open-connections.ts';
import type { OpenConnections } from '../../../src/flow/flow-table.ts';
import { recordingLog, temporaryDirectory } from './fakes.ts';

const BOOT = '11111111-0000-4000-8000-000000000000';
const directory = temporaryDirectory();
const path = join(directory, 'open-connections.json');
const file = (bootId: string | null = BOOT) =>
  new OpenConnectionsFile(directory, bootId, recordingLog().log);

const NOTHING = { open: {}, position: null };
const save = (to: OpenConnectionsFile, open: OpenConnections) => to.save(open);

describe('open connections', () => {
  beforeEach(() => writeFileSync(path, ''));

  it('are remembered from one agent to the next', () => {
    save(file(), { '-12': 3, '34': 1 });
    assert.deepEqual(file().load(), { open: { '-12': 3, '34': 1 }, position: null });
  });

  it('are remembered with what of the pinned counts they include', () => {
    const position = {
      setId: '18446744073709551615',
      generation: 1n << 63n,
      atMs: 1_772_366_400_000,
      known: { lost: 7n, missedProbes: 8n },
    };
    file().save({}, position);
    assert.deepEqual(file().load(), { open: {}, position });
    writeFileSync(path, JSON.stringify({ bootId: BOOT, open: {}, position: { setId: 'x' } }));
    assert.deepEqual(file().load(), NOTHING);
  });

  it('mean nothing after a reboot, or where boots can not be told apart', () => {
    save(file(), { '12': 3 });
    assert.deepEqual(file('22222222-0000-4000-8000-000000000000').load(), NOTHING);
    save(file(null), { '12': 3 });
    assert.deepEqual(file(null).load(), NOTHING);
  });

  it('are none in a damaged file', () => {
    const open = { a: 1, b: -1, c: 1.5, d: 'x', e: null };
    for (const text of ['', '{"bootId":', 'null', '7', '[]', '{}', `{"bootId":"${BOOT}"}`]) {
      writeFileSync(path, text);
      assert.deepEqual(file().load(), NOTHING, text);
    }
    writeFileSync(path, JSON.stringify({ bootId: BOOT, open }));
    assert.deepEqual(file().load(), { open: { a: 1 }, position: null });
  });

  it('are written only when they changed', () => {
    const kept = file();
    save(kept, { '12': 3 });
    writeFileSync(path, 'mine');
    save(kept, { '12': 3 });
    assert.equal(readFileSync(path, 'utf8'), 'mine');
    save(kept, {});
    assert.deepEqual(file().load(), NOTHING);
    assert.notEqual(readFileSync(path, 'utf8'), 'mine');
  });

  it('do not end the agent when the disk does not take them', () => {
    const { log, lines } = recordingLog();
    save(new OpenConnectionsFile(join(directory, 'nowhere'), BOOT, log), { '12': 3 });
    assert.match(lines.at(-1)?.msg ?? '', /can't note open connections/);
  });
});
