import { endianness } from 'node:os';
import { FrameError } from './errors.ts';
import { UnknownValueError } from './fields.ts';
import type { Frame } from './frames.ts';
import { HEADER } from './layout.ts';
import { FRAME_SIZES, PayloadReader } from './payload.ts';

/** A longer frame is garbage whatever its type says. */
export const MAX_FRAME_LENGTH = 64 * 1024;

const LARGEST_FRAME = Math.max(...FRAME_SIZES.values());

/**
 * Decodes a stream of frames that comes in chunks cut anywhere. Whole frames are read where they
 * lie; only a frame that a chunk's end cuts is copied, and that is never more than the largest known
 * one. A decoder that has thrown is spent: it throws the same error for ever.
 */
export class FrameDecoder {
  readonly #payloads: PayloadReader;
  readonly #littleEndian: boolean;
  /** Start of a frame whose rest is still to come. */
  readonly #carry = new Uint8Array(LARGEST_FRAME);
  readonly #carryView = new DataView(this.#carry.buffer);
  #carried = 0;
  #offset = 0;
  #failure: { readonly error: unknown } | null = null;

  /** @param littleEndian byte order of the sender; it shares our machine, so ours by default */
  constructor(littleEndian: boolean = endianness() === 'LE') {
    this.#littleEndian = littleEndian;
    this.#payloads = new PayloadReader(littleEndian);
  }

  /** Bytes of whole frames decoded so far: where in the stream the next frame begins. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Calls `onFrame` for each frame that `chunk` completes, in order, before it returns. Frames hold
   * no reference to `chunk`.
   * @throws FrameError at the first bad frame (those before it have been delivered), and whatever
   *   `onFrame` throws
   */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void {
    this.#throwIfSpent();
    try {
      this.#decode(chunk, onFrame);
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  /**
   * To be called when the stream has ended.
   * @throws FrameError when it ended within a frame
   */
  end(): void {
    this.#throwIfSpent();
    if (this.#carried > 0) {
      const why = `the stream ended after ${this.#carried} bytes of it`;
      const error = new FrameError(this.#offset, 'truncated', why);
      this.#failure = { error };
      throw error;
    }
  }

  #throwIfSpent(): void {
    if (this.#failure !== null) {
      throw this.#failure.error;
    }
  }

  #decode(chunk: Uint8Array, onFrame: (frame: Frame) => void): void {
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = this.#carried > 0 ? this.#completeCarried(chunk, onFrame) : 0;
    while (chunk.length - at >= HEADER.size) {
      const length = this.#checkedLength(view, at);
      if (chunk.length - at < length) {
        break;
      }
      this.#deliver(view, at, length, onFrame);
      at += length;
    }
    if (at < chunk.length) {
      this.#carry.set(chunk.subarray(at), 0);
      this.#carried = chunk.length - at;
    }
  }

  /** Returns how many bytes of the chunk belonged to the carried frame. */
  #completeCarried(chunk: Uint8Array, onFrame: (frame: Frame) => void): number {
    let at = this.#fillCarry(chunk, 0, HEADER.size);
    if (this.#carried < HEADER.size) {
      return at;
    }
    const length = this.#checkedLength(this.#carryView, 0);
    at = this.#fillCarry(chunk, at, length);
    if (this.#carried === length) {
      this.#carried = 0;
      this.#deliver(this.#carryView, 0, length, onFrame);
    }
    return at;
  }

  /** Copies from `at` until `size` bytes are carried or the chunk is used up; returns the new `at`. */
  #fillCarry(chunk: Uint8Array, at: number, size: number): number {
    const count = Math.min(Math.max(size - this.#carried, 0), chunk.length - at);
    this.#carry.set(chunk.subarray(at, at + count), this.#carried);
    this.#carried += count;
    return at + count;
  }

  #deliver(view: DataView, at: number, length: number, onFrame: (frame: Frame) => void): void {
    let frame: Frame;
    try {
      frame = this.#payloads.read(view, at);
    } catch (error) {
      if (error instanceof UnknownValueError) {
        throw new FrameError(this.#offset, 'value', `unknown ${error.message}`);
      }
      throw error;
    }
    this.#offset += length;
    onFrame(frame);
  }

  #checkedLength(view: DataView, at: number): number {
    const length = view.getUint32(at + HEADER.length, this.#littleEndian);
    const type = view.getUint16(at + HEADER.type, this.#littleEndian);
    const size = FRAME_SIZES.get(type);
    if (length === size) {
      return length;
    }
    if (length < HEADER.size) {
      throw new FrameError(this.#offset, 'length', `length ${length} is less than a header`);
    }
    if (length > MAX_FRAME_LENGTH) {
      throw new FrameError(this.#offset, 'length', `length ${length} is over ${MAX_FRAME_LENGTH}`);
    }
    if (size === undefined) {
      throw new FrameError(this.#offset, 'type', `unknown type ${type}`);
    }
    throw new FrameError(this.#offset, 'size', `type ${type} has ${length} bytes, not ${size}`);
  }
}
