import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { serialize } from 'node:v8';
import type { WriteOutcome } from '../../../src/agent/cmdb-sink.ts';
import { Spool } from '../../../src/agent/spool.ts';
import type { FlushBatch } from '../../../src/flow/records.ts';
import { batch } from '../../support/batches.ts';
import { recordingLog, temporaryDirectory } from './fakes.ts';

const root = temporaryDirectory();
let made = 0;

function spooling() {
  const directory = join(root, String(made++));
  mkdirSync(directory);
  const { log, lines } = recordingLog();
  return { directory, spool: new Spool(directory, log), lines };
}

/** A CMDB that answers so, one after the other; then that it has written. */
function sink(...outcomes: WriteOutcome[]) {
  const batches: FlushBatch[] = [];
  const write = async (each: FlushBatch): Promise<WriteOutcome> => {
    batches.push(each);
    return outcomes.shift() ?? 'written';
  };
  return { batches, write };
}

function files(directory: string): string[] {
  return readdirSync(join(directory, 'spool'));
}

describe('the spool', () => {
  it('is empty at first', async () => {
    const { spool } = spooling();
    assert.equal(spool.isEmpty, true);
    assert.equal(await spool.drain(sink()), true);
  });

  it('gives back exactly what was put, oldest first, and then no more', async () => {
    const { spool, directory } = spooling();
    const [late, early] = [batch({ epoch: 1_000, at: new Date(9) }), batch({ epoch: 999 })];
    spool.put(late);
    spool.put(early);
    assert.equal(spool.isEmpty, false);
    const cmdb = sink();
    assert.equal(await new Spool(directory, recordingLog().log).drain(cmdb), true);
    assert.deepEqual(cmdb.batches, [early, late]);
    assert.equal(spool.isEmpty, true);
  });

  it('keeps what is left when the CMDB goes away again', async () => {
    const { spool } = spooling();
    for (const epoch of [1, 2, 3]) spool.put(batch({ epoch }));
    const cmdb = sink('written', 'unavailable');
    assert.equal(await spool.drain(cmdb), false);
    const again = sink();
    assert.equal(await spool.drain(again), true);
    assert.deepEqual(
      again.batches.map(({ epoch }) => epoch),
      [2, 3],
    );
  });

  it('skips a damaged file and says so', async () => {
    const { spool, directory, lines } = spooling();
    spool.put(batch({ epoch: 5 }));
    const damaged: [string, Buffer][] = [
      ['1-1.batch', Buffer.from('')],
      ['2-1.batch', serialize({ format: 2, batch: batch() }).subarray(0, 100)],
      ['3-1.batch', serialize(42)],
      ['4-1.batch', serialize({ format: 99, batch: batch() })],
    ];
    for (const [name, content] of damaged) writeFileSync(join(directory, 'spool', name), content);
    const cmdb = sink();
    assert.equal(await spool.drain(cmdb), true);
    assert.deepEqual(
      cmdb.batches.map(({ epoch }) => epoch),
      [5],
    );
    assert.equal(lines.filter(({ msg }) => /damaged/.test(msg)).length, 4);
    assert.deepEqual(files(directory), []);
  });

  it('does not take a file for a batch whose writing was cut short', async () => {
    const { spool, directory } = spooling();
    spool.put(batch());
    writeFileSync(join(directory, 'spool', '1-1.batch.new'), 'half');
    const cmdb = sink();
    assert.equal(await spool.drain(cmdb), true);
    assert.equal(cmdb.batches.length, 1);
  });

  it('writes once more to a CMDB that was replaced', async () => {
    const { spool, lines } = spooling();
    spool.put(batch());
    const cmdb = sink('lost-all', 'written');
    assert.equal(await spool.drain(cmdb), true);
    assert.equal(cmdb.batches.length, 2);
    assert.equal(lines.at(-1)?.msg, 'wrote what was spooled');
  });

  it('says that a batch is lost when the CMDB refuses it', async () => {
    for (const outcomes of [['rejected'], ['lost-all', 'lost-all']] as const) {
      const { spool, lines } = spooling();
      spool.put(batch());
      assert.equal(await spool.drain(sink(...outcomes)), true);
      assert.equal(spool.isEmpty, true);
      assert.match(lines.at(-1)?.msg ?? '', /it is lost/);
    }
  });

  it('says that a batch is lost when the disk does not take it', () => {
    const { log, lines } = recordingLog();
    const file = join(root, 'a-file');
    writeFileSync(file, '');
    new Spool(file, log).put(batch());
    assert.match(lines.at(-1)?.msg ?? '', /can't spool/);
    assert.equal(existsSync(join(file, 'spool')), false);
  });
});
