import { writeSync } from 'node:fs';

/** What pino writes to. */
export interface LogDestination {
  write(line: string): void;
}

/**
 * Writes log lines to a descriptor at once. A log that nobody takes (its reader is gone, the disk is
 * full) must not end what it tells of: its lines are dropped, and counted in the first one that is
 * taken again.
 */
export function logTo(
  fd: number,
  write: (fd: number, bytes: Uint8Array) => number = writeSync,
): LogDestination {
  let dropped = 0;
  const writeWhole = (text: string): boolean => {
    let left = Buffer.from(text);
    try {
      while (left.length > 0) left = left.subarray(write(fd, left));
      return true;
    } catch {
      return false; // there is nowhere to tell it
    }
  };
  const tellDropped = (): boolean =>
    dropped === 0 ||
    writeWhole(`${JSON.stringify({ level: 40, dropped, msg: 'log lines were dropped' })}\n`);
  return {
    write(line) {
      if (tellDropped()) dropped = 0;
      if (dropped > 0 || !writeWhole(line)) dropped += 1;
    },
  };
}
