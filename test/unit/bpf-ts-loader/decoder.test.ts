import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FrameDecoder } from '../../../src/bpf-ts-loader/decoder.ts';
import { FrameError, type FrameProblem } from '../../../src/bpf-ts-loader/errors.ts';
import type { Frame } from '../../../src/bpf-ts-loader/frames.ts';
import * as layout from '../../../src/bpf-ts-loader/layout.ts';
import { frameArbitrary } from './fixtures/arbitraries.ts';
import { encodeFrame, encodeFrames } from './fixtures/encode.ts';
import { flowFrame, ONE_OF_EACH } from './fixtures/samples.ts';

function decode(chunks: readonly Uint8Array[], decoder = new FrameDecoder()): Frame[] {
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk, (frame) => frames.push(frame));
  }
  decoder.end();
  return frames;
}

function split(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const edges = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((edge, i) => bytes.slice(edges[i], edge));
}

function assertRefused(bytes: Uint8Array, offset: number, problem: FrameProblem): void {
  assert.throws(
    () => decode([bytes]),
    (error: unknown) => {
      assert.ok(error instanceof FrameError);
      assert.deepEqual([error.offset, error.problem], [offset, problem], error.message);
      return true;
    },
  );
}

/** A frame with one of its numbers changed. */
function changed(frame: Frame, change: (view: DataView) => void): Uint8Array {
  const bytes = encodeFrame(frame, true);
  change(new DataView(bytes.buffer));
  return bytes;
}

const STREAM = encodeFrames(ONE_OF_EACH);
const FLOW_BYTES = encodeFrame(flowFrame(1));

describe('FrameDecoder', () => {
  it('decodes every field of one frame of each type', () => {
    assert.deepEqual(decode([STREAM]), ONE_OF_EACH);
  });

  it('decodes frames split in two at every offset', () => {
    for (let at = 0; at <= STREAM.length; at++) {
      assert.deepEqual(decode(split(STREAM, [at])), ONE_OF_EACH, `split at ${at}`);
    }
  });

  it('decodes frames split at two offsets around every frame border', () => {
    let border = 0;
    for (const frame of ONE_OF_EACH) {
      for (let before = Math.max(0, border - 9); before <= border; before++) {
        for (let after = border; after <= border + 9; after++) {
          assert.deepEqual(decode(split(STREAM, [before, after])), ONE_OF_EACH);
        }
      }
      border += encodeFrame(frame).length;
    }
  });

  it('decodes a stream that comes byte by byte', () => {
    const bytes = [...STREAM.keys()].map((at) => STREAM.slice(at, at + 1));
    assert.deepEqual(decode(bytes), ONE_OF_EACH);
  });

  it('decodes any frames split anywhere', () => {
    const cases = fc.tuple(fc.array(frameArbitrary, { maxLength: 12 }), fc.array(fc.nat()));
    fc.assert(
      fc.property(cases, ([frames, numbers]) => {
        const bytes = encodeFrames(frames);
        const cuts = numbers.map((number) => number % (bytes.length + 1));
        assert.deepEqual(decode(split(bytes, cuts)), frames);
      }),
      { numRuns: 500 },
    );
  });

  it('reads the byte order it is told', () => {
    const bytes = Buffer.concat(ONE_OF_EACH.map((frame) => encodeFrame(frame, false)));
    assert.deepEqual(decode([bytes], new FrameDecoder(false)), ONE_OF_EACH);
  });

  it('keeps nothing of the chunk: the caller may reuse its buffer', () => {
    const frames: Frame[] = [];
    const decoder = new FrameDecoder();
    const buffer = new Uint8Array(100);
    for (let at = 0; at < STREAM.length; at += buffer.length) {
      const piece = STREAM.subarray(at, at + buffer.length);
      buffer.set(piece);
      decoder.push(buffer.subarray(0, piece.length), (frame) => frames.push(frame));
      buffer.fill(0xff);
    }
    assert.deepEqual(frames, ONE_OF_EACH);
  });

  it('replaces bytes that are not UTF-8 and takes a field without NUL whole', () => {
    const first = ONE_OF_EACH.find((frame) => frame.type === 'first');
    assert.ok(first?.type === 'first');
    const bytes = encodeFrame(first);
    const comm = layout.FIRST.identity + layout.IDENTITY.comm;
    bytes.set(
      [...Buffer.from('caf'), 0xc3, 0xff, ...Buffer.from('0123456789\u00e9').subarray(0, 11)],
      comm,
    );
    const [frame] = decode([bytes]);
    assert.ok(frame?.type === 'first');
    assert.equal(frame.identity.comm, 'caf\ufffd\ufffd0123456789\ufffd');
    assert.equal(frame.identity.exe, first.identity.exe);
  });

  it('ignores bits of flags it does not know', () => {
    const bytes = changed(flowFrame(0), (view) =>
      view.setUint16(layout.HEADER.flags, 0xff01, true),
    );
    const [frame] = decode([bytes], new FrameDecoder(true));
    assert.deepEqual(frame, flowFrame(0));
  });
});

describe('FrameDecoder on garbage', () => {
  const header = (length: number, type: number) => {
    const bytes = Buffer.alloc(8);
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, length, true);
    new DataView(bytes.buffer, bytes.byteOffset).setUint16(4, type, true);
    return bytes;
  };

  for (const length of [0, 1, 7]) {
    it(`refuses length ${length}`, () => {
      assertRefused(header(length, 4), 0, 'length');
    });
  }
  for (const length of [65_537, 0xffffffff]) {
    it(`refuses length ${length} without waiting for that many bytes`, () => {
      assertRefused(Buffer.concat([FLOW_BYTES, header(length, 4)]), FLOW_BYTES.length, 'length');
    });
  }
  for (const type of [0, 10, 64, 65, 66, 0xffff]) {
    it(`refuses type ${type}`, () => {
      assertRefused(header(128, type), 0, 'type');
    });
  }
  for (const [name, type] of Object.entries(layout.FRAME_TYPE)) {
    it(`refuses a ${name} frame of another length`, () => {
      assertRefused(header(8, type), 0, 'size');
      assertRefused(header(65_536, type), 0, 'size');
    });
  }

  it('refuses numbers that an enum does not know', () => {
    const direction = layout.FLOW.key + layout.FLOW_KEY.direction;
    assertRefused(
      changed(flowFrame(1), (view) => view.setUint8(direction, 3)),
      0,
      'value',
    );
    for (const frame of ONE_OF_EACH) {
      if (frame.type === 'listen') {
        assertRefused(
          changed(frame, (view) => view.setUint16(layout.HEADER.flags, 3, true)),
          0,
          'value',
        );
      }
      if (frame.type === 'rung') {
        assertRefused(
          changed(frame, (view) => view.setUint32(layout.RUNG.rung, 4, true)),
          0,
          'value',
        );
      }
    }
  });

  it('refuses a truncated tail at the end, for every length of it', () => {
    for (let tail = 1; tail < FLOW_BYTES.length; tail++) {
      const bytes = Buffer.concat([FLOW_BYTES, FLOW_BYTES.subarray(0, tail)]);
      assertRefused(bytes, FLOW_BYTES.length, 'truncated');
    }
  });

  it('delivers what came before the bad frame, then throws the same error for ever', () => {
    const decoder = new FrameDecoder();
    const frames: Frame[] = [];
    const push = (bytes: Uint8Array) => decoder.push(bytes, (frame) => frames.push(frame));
    assert.throws(() => push(Buffer.concat([FLOW_BYTES, header(0, 0)])), FrameError);
    assert.throws(() => push(FLOW_BYTES), { offset: FLOW_BYTES.length });
    assert.throws(() => decoder.end(), { offset: FLOW_BYTES.length });
    assert.deepEqual(frames, [flowFrame(1)]);
  });

  it('never throws anything but FrameError, hangs or keeps much, on random bytes', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 2_000 }),
      // A valid stream with some bytes changed reaches deeper.
      fc.array(fc.tuple(fc.nat(STREAM.length - 1), fc.nat(255)), { maxLength: 4 }).map((edits) => {
        const bytes = Uint8Array.from(STREAM);
        for (const [at, value] of edits) {
          bytes[at] = value;
        }
        return bytes;
      }),
    );
    fc.assert(
      fc.property(noise, fc.array(fc.nat(2_000), { maxLength: 5 }), (bytes, cuts) => {
        const within = cuts.map((cut) => Math.min(cut, bytes.length));
        try {
          assert.ok(decode(split(bytes, within)).length <= bytes.length / 40);
        } catch (error) {
          assert.ok(error instanceof FrameError, String(error));
          assert.ok(error.offset <= bytes.length);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('FrameDecoder, a large report', () => {
  it('decodes 10,000 flows read in pieces of a pipe', () => {
    const bytes = encodeFrames(Array.from({ length: 10_000 }, (_, n) => flowFrame(n)));
    const decoder = new FrameDecoder();
    let flows = 0;
    for (let at = 0; at < bytes.length; at += 65_536) {
      decoder.push(bytes.subarray(at, at + 65_536), () => flows++);
    }
    assert.equal(flows, 10_000);
  });
});
