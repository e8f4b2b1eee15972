import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { crc32 } from 'node:zlib';
import type { OpenConnections } from '../flow/flow-table.ts';
import type { FlushBatch } from '../flow/records.ts';
import type { Position } from './open-connections.ts';

/** Changes with {@link FlushBatch}: another version's file can't be understood. */
const FORMAT = 5;
/** Each part is preceded by its length and its CRC-32, both u32 little-endian. */
const FRAME_BYTES = 8;

/** What stands first in a spool file. */
export interface SpoolHeader {
  readonly format: number;
  readonly epoch: number;
  readonly hostId: string;
  readonly bootId: string | null;
  /** Connections open when the file was made: the totals in it count them. */
  readonly open: OpenConnections;
  /** Up to where the kernel's counts are in those totals; null: it keeps none. */
  readonly position: Position | null;
}

/** What stands last: a file that was cut between two parts would else seem whole. */
interface SpoolEnd {
  readonly parts: number;
}

/** A file of another version: what it holds is for that version to write. */
export class ForeignFormat extends Error {
  override readonly name = 'ForeignFormat';
}

/** Writes header, parts and end one by one, so that no more than a part is in memory twice. */
export function writeSpoolFile(
  path: string,
  header: Omit<SpoolHeader, 'format'>,
  parts: Iterable<FlushBatch>,
): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    writeFrame(fd, { ...header, format: FORMAT });
    let count = 0;
    for (const part of parts) {
      writeFrame(fd, part);
      count += 1;
    }
    writeFrame(fd, { parts: count } satisfies SpoolEnd);
  } finally {
    closeSync(fd);
  }
}

/** @throws ForeignFormat, or what is wrong with a damaged file */
export function readSpoolHeader(path: string): SpoolHeader {
  const fd = openSync(path, 'r');
  try {
    return readHeader(fd).header;
  } finally {
    closeSync(fd);
  }
}

/**
 * The parts of a file, one in memory at a time.
 * @throws ForeignFormat, or what is wrong with a damaged file, after all parts before the damage
 */
export function* readSpoolParts(path: string): Generator<FlushBatch> {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    let { end } = readHeader(fd);
    for (let count = 0; ; count++) {
      const frame = readFrame(fd, end, size);
      if (isEnd(frame.value, count)) return;
      if (!isBatch(frame.value)) throw new Error(`no batch at byte ${end}`);
      yield frame.value;
      end = frame.end;
    }
  } finally {
    closeSync(fd);
  }
}

function writeFrame(fd: number, value: unknown): void {
  // v8's format knows the bigints and dates of a batch.
  const content = serialize(value);
  const frame = Buffer.allocUnsafe(FRAME_BYTES);
  frame.writeUInt32LE(content.length, 0);
  frame.writeUInt32LE(crc32(content), 4);
  writeAll(fd, frame);
  writeAll(fd, content);
}

/** write(2) may take less than all, as when the disk fills up. */
function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

interface Frame {
  readonly value: unknown;
  /** Where the next one begins. */
  readonly end: number;
}

function readFrame(fd: number, at: number, size: number): Frame {
  const frame = readExactly(fd, at, FRAME_BYTES, size);
  const length = frame.readUInt32LE(0);
  const content = readExactly(fd, at + FRAME_BYTES, length, size);
  if (crc32(content) !== frame.readUInt32LE(4)) throw new Error(`wrong checksum at byte ${at}`);
  return { value: deserialize(content), end: at + FRAME_BYTES + length };
}

function readExactly(fd: number, at: number, length: number, size: number): Buffer {
  // Before memory is taken: a damaged length may say anything.
  if (at + length > size) throw new Error(`cut short at byte ${size}`);
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const got = readSync(fd, bytes, done, length - done, at + done);
    if (got === 0) throw new Error(`cut short at byte ${at + done}`);
    done += got;
  }
  return bytes;
}

function readHeader(fd: number): { readonly header: SpoolHeader; readonly end: number } {
  const { value, end } = readFrame(fd, 0, fstatSync(fd).size);
  if (typeof value !== 'object' || value === null || !('format' in value)) {
    throw new Error('no header');
  }
  if (value.format !== FORMAT) {
    throw new ForeignFormat(`format ${String(value.format)}, this version knows ${FORMAT}`);
  }
  if (!isHeader(value)) throw new Error('no header');
  return { header: value, end };
}

function isHeader(value: object): value is SpoolHeader {
  const { epoch, hostId, open } = value as Partial<SpoolHeader>;
  return (
    Number.isSafeInteger(epoch) &&
    typeof hostId === 'string' &&
    typeof open === 'object' &&
    open !== null
  );
}

function isEnd(value: unknown, parts: number): boolean {
  return typeof value === 'object' && value !== null && 'parts' in value && value.parts === parts;
}

function isBatch(value: unknown): value is FlushBatch {
  return (
    typeof value === 'object' &&
    value !== null &&
    'host' in value &&
    'flows' in value &&
    Array.isArray(value.flows)
  );
}
