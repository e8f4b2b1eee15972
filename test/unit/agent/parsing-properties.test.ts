/** Files that the agent reads at its start, whatever is in them. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readConfigFile, resolveOptions } from '../../../src/agent/options.ts';
import { Spool } from '../../../src/agent/spool.ts';
import { ExitCode, UserError } from '../../../src/common/exit-codes.ts';
import type { FlushBatch } from '../../../src/flow/records.ts';
import { batch } from '../../support/batches.ts';
import { recordingLog, temporaryDirectory } from './fakes.ts';

const root = temporaryDirectory();

describe('a configuration file', () => {
  const path = join(root, 'config');
  const names = ['mode', 'bucket', 'flush-interval', 'listen', 'host-id', 'netns', 'output'];
  const key = fc.oneof(
    fc.constantFrom(...names, '__proto__', 'constructor', 'toString'),
    fc.string(),
  );
  const content = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc
      .array(
        fc.tuple(key, fc.oneof(fc.string(), fc.constantFrom('poll', '5m', '1s'), fc.jsonValue())),
      )
      .map(
        (pairs) => `{${pairs.map((pair) => pair.map((each) => JSON.stringify(each)).join(':'))}}`,
      ),
  );

  it('is taken, or refused with a UserError', () => {
    fc.assert(
      fc.property(content, (text) => {
        writeFileSync(path, text);
        try {
          resolveOptions({ argv: {}, env: {}, file: readConfigFile(path) });
        } catch (error) {
          assert.ok(error instanceof UserError, String(error));
          assert.equal(error.exitCode, ExitCode.usage);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('a spooled file', () => {
  const dataDir = join(root, 'data');
  mkdirSync(dataDir);
  const { log } = recordingLog();
  const meant = batch({ epoch: 5 });
  new Spool(dataDir, log).put(meant, {});
  const [name = ''] = readdirSync(join(dataDir, 'spool'));
  const path = join(dataDir, 'spool', name);
  const whole = readFileSync(path);

  const damaged = fc.oneof(
    fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, bits]) => {
      const bytes = Buffer.from(whole);
      bytes.writeUInt8(bytes.readUInt8(at) ^ bits, at);
      return bytes;
    }),
    fc.integer({ min: 0, max: whole.length - 1 }).map((length) => whole.subarray(0, length)),
    fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
  );

  it('is written as it was meant, or not at all, and ends no agent', async () => {
    await fc.assert(
      fc.asyncProperty(damaged, async (bytes) => {
        writeFileSync(path, bytes);
        const written: FlushBatch[] = [];
        const write = async (each: FlushBatch) => {
          written.push(each);
          return 'written' as const;
        };
        const spool = new Spool(dataDir, log);
        spool.latest();
        spool.trim();
        await spool.drain({ write });
        // What stands before the damage is whole.
        assert.deepEqual(written, written.length === 0 ? [] : [meant]);
      }),
      { numRuns: 400 },
    );
  });
});
