import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { serialize } from 'node:v8';
import { crc32 } from 'node:zlib';
import type { WriteOutcome } from '../../../src/agent/cmdb-sink.ts';
import { Spool } from '../../../src/agent/spool.ts';
import type { FlushBatch } from '../../../src/flow/records.ts';
import { batch, bucket, flow, hostId } from '../../support/batches.ts';
import { recordingLog, temporaryDirectory } from './fakes.ts';

const root = temporaryDirectory();
let made = 0;

/** A data directory in which agents left these, one after the other. */
function spooling(...left: FlushBatch[]) {
  const directory = join(root, String(made++));
  mkdirSync(directory);
  const { log, lines } = recordingLog();
  for (const each of left) assert.equal(new Spool(directory, log).put(each, {}), true);
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

const epochs = (batches: readonly FlushBatch[]) => batches.map(({ epoch }) => epoch);

describe('the spool', () => {
  it('is empty at first', async () => {
    const { spool } = spooling();
    assert.equal(spool.isEmpty, true);
    assert.equal(spool.latest(), null);
    assert.equal(await spool.drain(sink()), true);
  });

  it('gives back exactly what was put, oldest first, and then no more', async () => {
    const [late, early] = [batch({ epoch: 1_000, at: new Date(9) }), batch({ epoch: 999 })];
    const { spool } = spooling(late, early);
    assert.equal(spool.isEmpty, false);
    const cmdb = sink();
    assert.equal(await spool.drain(cmdb), true);
    assert.deepEqual(cmdb.batches, [early, late]);
    assert.equal(spool.isEmpty, true);
  });

  it('keeps the latest of an agent, which writes its own until it is dropped', async () => {
    const { spool, directory } = spooling();
    spool.put(batch({ epoch: 7, flows: [] }), { '1': 1 });
    spool.put(batch({ epoch: 7 }), { '1': 2 });
    assert.equal(spool.isEmpty, true);
    assert.equal(await spool.drain(sink('unavailable')), true);
    const next = new Spool(directory, recordingLog().log);
    assert.deepEqual(next.latest()?.open, { '1': 2 });
    const cmdb = sink();
    await next.drain(cmdb);
    assert.deepEqual(
      cmdb.batches.map(({ flows }) => flows.length),
      [1],
    );
    spool.put(batch({ epoch: 7 }), {});
    spool.drop();
    assert.deepEqual(files(directory), []);
  });

  it('knows what the latest of several agents left open, also past a damaged file', () => {
    const { spool, directory } = spooling();
    for (const epoch of [9, 10]) {
      new Spool(directory, recordingLog().log).put(batch({ epoch }), { '5': epoch });
    }
    writeFileSync(join(directory, 'spool', '11.batch'), 'damaged');
    assert.deepEqual(spool.latest()?.open, { '5': 10 });
    assert.equal(spool.latest()?.epoch, 10);
  });

  it('keeps what is left when the CMDB goes away again', async () => {
    const { spool } = spooling(...[1, 2, 3].map((epoch) => batch({ epoch })));
    assert.equal(await spool.drain(sink('written', 'unavailable')), false);
    const again = sink();
    assert.equal(await spool.drain(again), true);
    assert.deepEqual(epochs(again.batches), [2, 3]);
  });

  it('gives back what is much in parts, one in memory at a time', async () => {
    const flows = Array.from({ length: 5_000 }, (_, index) => flow({ flowId: String(index) }));
    const { spool } = spooling(batch({ flows }));
    const cmdb = sink('written', 'maybe-written');
    assert.equal(await spool.drain(cmdb), false);
    const again = sink();
    assert.equal(await spool.drain(again), true);
    assert.deepEqual(
      again.batches.map((part) => [part.flows.length, part.processes.length, part.coverage.length]),
      [
        [2_000, 1, 0],
        [2_000, 0, 0],
        [1_000, 0, 1],
      ],
    );
    assert.equal(new Set(again.batches.map(({ at }) => at.getTime())).size, 3);
  });

  it('does not cut a flow in two', async () => {
    const buckets = Array.from({ length: 30_000 }, (_, index) =>
      bucket({ bucketStart: new Date(index * 300_000) }),
    );
    const { spool } = spooling(batch({ flows: [flow({ buckets }), flow({ flowId: '2' })] }));
    const cmdb = sink();
    await spool.drain(cmdb);
    assert.deepEqual(
      cmdb.batches.map(({ flows }) => flows.map((each) => each.buckets.length)),
      [[30_000], [1]],
    );
  });

  it('skips damaged files, writes what comes before the damage, and says so', async () => {
    const flows = Array.from({ length: 2_500 }, (_, index) => flow({ flowId: String(index) }));
    const { spool, directory, lines } = spooling(batch({ epoch: 5 }), batch({ epoch: 9, flows }));
    const path = (epoch: number) => join(directory, 'spool', `${epoch}.batch`);
    const [whole, long] = [readFileSync(path(5)), readFileSync(path(9))];
    const flipped = Buffer.from(whole);
    flipped.writeUInt8(flipped.readUInt8(60) ^ 1, 60);
    const hugeLength = Buffer.from(whole);
    hugeLength.writeUInt32LE(0xffffffff, 0);
    const damaged = [
      Buffer.from(''),
      whole.subarray(0, 100),
      Buffer.alloc(4_096),
      flipped,
      hugeLength,
    ];
    for (const [index, content] of damaged.entries()) writeFileSync(path(10 + index), content);
    const ends = frameEnds(long);
    assert.equal(ends.length, 4); // header, two parts, end
    writeFileSync(path(20), long.subarray(0, (ends[2] ?? 0) - 1));
    for (const [index, end] of ends.slice(0, 3).entries()) {
      writeFileSync(path(21 + index), long.subarray(0, end));
    }
    const cmdb = sink();
    assert.equal(await spool.drain(cmdb), true);
    // Of 9 both parts; of those cut in the second part, after none, one, and both what was before.
    assert.deepEqual(epochs(cmdb.batches), [5, 9, 9, 9, 9, 9, 9]);
    assert.equal(lines.filter(({ msg }) => /damaged/.test(msg)).length, 9);
    assert.equal(spool.lost, 9);
    assert.deepEqual(files(directory), []);
  });

  it('leaves alone what another version left, and says so once', async () => {
    const { spool, directory, lines } = spooling(batch({ epoch: 5 }));
    writeFileSync(join(directory, 'spool', '4.batch'), ofFormat(99));
    const cmdb = sink();
    assert.equal(await spool.drain(cmdb), true);
    assert.equal(await spool.drain(cmdb), true);
    assert.deepEqual(epochs(cmdb.batches), [5]);
    assert.deepEqual(files(directory), ['4.batch']);
    assert.equal(lines.filter(({ msg }) => /another version/.test(msg)).length, 1);
    assert.equal(spool.lost, 0);
  });

  it('writes what was traced as another host under the id of that one', async () => {
    const { spool } = spooling(batch({ epoch: 5 }, 7));
    const cmdb = sink();
    await spool.drain(cmdb);
    assert.equal(cmdb.batches[0]?.host.hostId, hostId(7));
  });

  it('does not take a file for a batch whose writing was cut short', async () => {
    const { spool, directory } = spooling(batch());
    writeFileSync(join(directory, 'spool', '1.batch.new'), 'half');
    const cmdb = sink();
    assert.equal(await spool.drain(cmdb), true);
    assert.equal(cmdb.batches.length, 1);
    new Spool(directory, recordingLog().log).trim();
    assert.deepEqual(files(directory), []);
  });

  it('writes once more what referred to a CMDB that was replaced', async () => {
    const { spool, lines } = spooling(batch());
    const cmdb = sink('lost-all', 'replaced');
    assert.equal(await spool.drain(cmdb), true);
    assert.equal(cmdb.batches.length, 2);
    assert.equal(lines.at(-1)?.msg, 'wrote what was spooled');
  });

  it('says that a batch is lost when the CMDB refuses it', async () => {
    for (const outcomes of [['rejected'], ['lost-all', 'lost-all']] as const) {
      const { spool, lines } = spooling(batch());
      assert.equal(await spool.drain(sink(...outcomes)), true);
      assert.equal(spool.isEmpty, true);
      assert.match(lines.at(-1)?.msg ?? '', /it is lost/);
      assert.equal(spool.lost, 1);
    }
  });

  it('gives up the oldest when agents left more than there is room for', () => {
    const { directory, lines } = spooling(...[1, 2, 3, 4].map((epoch) => batch({ epoch })));
    const { size } = statSync(join(directory, 'spool', '1.batch'));
    const { log } = recordingLog();
    const spool = new Spool(directory, log, { maxBytes: 2 * size + 1 });
    spool.trim();
    assert.deepEqual(files(directory).sort(), ['3.batch', '4.batch']);
    assert.equal(spool.lost, 2);
    assert.deepEqual(lines, []);
  });

  it('says once that the disk does not take it, and when it does again', () => {
    const { log, lines } = recordingLog();
    const blocked = join(root, 'blocked');
    mkdirSync(blocked);
    writeFileSync(join(blocked, 'spool'), '');
    const spool = new Spool(blocked, log);
    for (let attempt = 0; attempt < 3; attempt++) {
      assert.equal(spool.put(batch({ epoch: 1 }), {}), false);
    }
    assert.equal(lines.filter(({ level }) => level === 50).length, 1);
    assert.match(lines[0]?.msg ?? '', /can't spool/);
    rmSync(join(blocked, 'spool'));
    assert.equal(spool.put(batch({ epoch: 2 }), {}), true);
    assert.match(lines.at(-1)?.msg ?? '', /takes the spool again/);
  });
});

/** A file of another version. */
function ofFormat(format: number): Buffer {
  const content = serialize({ format, batch: batch() });
  const frame = Buffer.alloc(8);
  frame.writeUInt32LE(content.length, 0);
  frame.writeUInt32LE(crc32(content), 4);
  return Buffer.concat([frame, content]);
}

/** Where each frame of a file ends. */
function frameEnds(file: Buffer): number[] {
  const ends: number[] = [];
  for (let at = 0; at < file.length; ends.push(at)) at += 8 + file.readUInt32LE(at);
  return ends;
}
