/** What the helper's own frame writer writes, the decoder reads as what was meant. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { FrameDecoder } from '../../../src/bpf-ts-loader/decoder.ts';
import type { Frame } from '../../../src/bpf-ts-loader/frames.ts';
import { REPOSITORY } from '../../support/run.ts';
import { frameArbitrary } from './fixtures/arbitraries.ts';
import { assignmentsOf } from './fixtures/assignments.ts';
import { ONE_OF_EACH } from './fixtures/samples.ts';

const HELPER = join(REPOSITORY, 'bpf', 'helper');
const SOURCES = [
  join(REPOSITORY, 'test', 'support', 'frame-writer.c'),
  ...['frames.c', 'frame_buffer.c', 'requests.c', 'util.c'].map((name) => join(HELPER, name)),
];
const MISSING = spawnSync('cc', ['--version']).status === 0 ? false : 'no C compiler';

describe('frames from C to TypeScript', { skip: MISSING }, () => {
  let directory = '';
  let program = '';

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'transtracer-test-'));
    program = join(directory, 'frame-writer');
    const flags = ['-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-o', program];
    execFileSync('cc', [...flags, ...SOURCES]);
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const throughC = (frames: readonly Frame[]): Frame[] => {
    const input = frames.map(assignmentsOf).join('');
    const bytes = execFileSync(program, { input, maxBuffer: 1 << 26 });
    const decoded: Frame[] = [];
    const decoder = new FrameDecoder();
    decoder.push(bytes, (frame) => decoded.push(frame));
    decoder.end();
    return decoded;
  };

  it('keeps one of each', () => {
    assert.deepEqual(throughC(ONE_OF_EACH), ONE_OF_EACH);
  });

  it('keeps any frames, however many', () => {
    fc.assert(
      fc.property(fc.array(frameArbitrary, { maxLength: 400, size: 'max' }), (frames) => {
        assert.deepEqual(throughC(frames), frames);
      }),
      { numRuns: 40 },
    );
  });
});
