import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FrameDecoder } from '../../../src/bpf-ts-loader/decoder.ts';
import type { Frame } from '../../../src/bpf-ts-loader/frames.ts';
import * as layout from '../../../src/bpf-ts-loader/layout.ts';
import { encodeRequest } from '../../../src/bpf-ts-loader/requests.ts';
import { cSource, type LayoutRow, STRUCTS, VALUES } from './fixtures/c-layout.ts';
import { ONE_OF_EACH } from './fixtures/samples.ts';

const HEADER_FILE = findUp('bpf/transtracer.h');
const MISSING =
  HEADER_FILE === null
    ? 'bpf/transtracer.h is not here'
    : spawnSync('cc', ['--version']).status === 0
      ? false
      : 'no C compiler: install one as cc';

function findUp(path: string): string | null {
  for (let dir = import.meta.dirname; ; dir = dirname(dir)) {
    if (existsSync(join(dir, path))) {
      return join(dir, path);
    }
    if (dir === dirname(dir)) {
      return null;
    }
  }
}

describe('layout.ts against the C header', { skip: MISSING }, () => {
  let dir = '';
  let program = '';

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'tt-layout-'));
    program = join(dir, 'layout');
    writeFileSync(join(dir, 'layout.c'), cSource(HEADER_FILE ?? ''));
    execFileSync('cc', ['-Wall', '-Werror', '-o', program, join(dir, 'layout.c')]);
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('has the sizes and offsets of every field, and the width each is read with', () => {
    const printed = execFileSync(program, ['layout'], { encoding: 'utf8' });
    const expected: LayoutRow[] = STRUCTS.flatMap((struct) => [
      [struct.name, 'sizeof', struct.size, struct.size] as const,
      ...struct.fields.map(
        ([field, offset, width]) => [struct.name, field, offset, width] as const,
      ),
    ]);
    assert.deepEqual(
      printed.trim().split('\n'),
      expected.map((row) => row.join(' ')),
    );
  });

  it('covers every number in layout.ts', () => {
    const tables: readonly Readonly<Record<string, number>>[] = Object.values(layout).filter(
      (value) => typeof value === 'object' && 'size' in value,
    );
    const numbersOf = tables.map((table) => Object.keys(table).filter(isOffset).length);
    const covered = STRUCTS.map((struct) => struct.fields.length);
    assert.deepEqual(covered.toSorted(), numbersOf.toSorted());
  });

  it('has the numbers of every enum and define', () => {
    const printed = execFileSync(program, ['values'], { encoding: 'utf8' });
    assert.deepEqual(
      printed.trim().split('\n'),
      VALUES.map(([name, value]) => `${name} ${value}`),
    );
  });

  it('decodes frames that a C program filled in', () => {
    const bytes = execFileSync(program, ['frames']);
    const frames: Frame[] = [];
    const decoder = new FrameDecoder();
    decoder.push(bytes, (frame) => frames.push(frame));
    decoder.end();
    assert.deepEqual(frames, ONE_OF_EACH);
  });

  it('encodes requests that a C program understands', () => {
    const input = Buffer.concat([
      encodeRequest('drain', 7n),
      encodeRequest('snapshot', (1n << 63n) + 1n, { allOwners: true, last: true }),
    ]);
    const printed = execFileSync(program, ['requests'], { input, encoding: 'utf8' });
    assert.equal(printed, '16 64 0 7\n16 65 3 9223372036854775809\n');
  });
});

/** In a struct's table all but its sizes are offsets. */
function isOffset(name: string): boolean {
  return !/^size$|(comm|exe|release|text)Size$/.test(name);
}
