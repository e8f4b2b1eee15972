import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LineSplitter } from '../../../src/bpf-ts-loader/lines.ts';

function split(bytes: Buffer, size: number): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for (let at = 0; at < bytes.length; at += size) {
    splitter.push(bytes.subarray(at, at + size));
  }
  splitter.end();
  return lines;
}

describe('LineSplitter', () => {
  it('splits at newlines wherever chunks are cut, characters included', () => {
    const bytes = Buffer.from('caf\u00e9 \u{1f600}\r\n\nsecond\nno newline \u00e9');
    for (let size = 1; size <= bytes.length; size++) {
      assert.deepEqual(split(bytes, size), ['caf\u00e9 \u{1f600}', 'second', 'no newline \u00e9']);
    }
  });

  it('cuts a line without end', () => {
    const lines = split(
      Buffer.concat([Buffer.alloc(1_000_000, 'x'), Buffer.from('\nnext')]),
      10_000,
    );
    assert.deepEqual(lines, ['x'.repeat(4_096), 'next']);
  });
});
