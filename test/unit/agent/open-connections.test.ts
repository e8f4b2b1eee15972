import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';
import { OpenConnectionsFile } from '../../../src/agent/open-connections.ts';
import { recordingLog, temporaryDirectory } from './fakes.ts';

const BOOT = '11111111-0000-4000-8000-000000000000';
const directory = temporaryDirectory();
const path = join(directory, 'open-connections.json');
const file = (bootId: string | null = BOOT) =>
  new OpenConnectionsFile(directory, bootId, recordingLog().log);

describe('open connections', () => {
  beforeEach(() => writeFileSync(path, ''));

  it('are remembered from one agent to the next', () => {
    file().save({ '-12': 3, '34': 1 });
    assert.deepEqual(file().load(), { '-12': 3, '34': 1 });
  });

  it('mean nothing after a reboot, or where boots can not be told apart', () => {
    file().save({ '12': 3 });
    assert.deepEqual(file('22222222-0000-4000-8000-000000000000').load(), {});
    file(null).save({ '12': 3 });
    assert.deepEqual(file(null).load(), {});
  });

  it('are none in a damaged file', () => {
    const open = { a: 1, b: -1, c: 1.5, d: 'x', e: null };
    for (const text of ['', '{"bootId":', 'null', '7', '[]', '{}', `{"bootId":"${BOOT}"}`]) {
      writeFileSync(path, text);
      assert.deepEqual(file().load(), {}, text);
    }
    writeFileSync(path, JSON.stringify({ bootId: BOOT, open }));
    assert.deepEqual(file().load(), { a: 1 });
  });

  it('are written only when they changed', () => {
    const kept = file();
    kept.save({ '12': 3 });
    writeFileSync(path, 'mine');
    kept.save({ '12': 3 });
    assert.equal(readFileSync(path, 'utf8'), 'mine');
    kept.save({});
    assert.deepEqual(file().load(), {});
    assert.notEqual(readFileSync(path, 'utf8'), 'mine');
  });

  it('do not end the agent when the disk does not take them', () => {
    const { log, lines } = recordingLog();
    new OpenConnectionsFile(join(directory, 'nowhere'), BOOT, log).save({ '12': 3 });
    assert.match(lines.at(-1)?.msg ?? '', /can't note open connections/);
  });
});
