import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Whether an agent works on a data directory, as far as that can be told. */
export interface AgentState {
  readonly running: 'yes' | 'no' | 'unknown';
  readonly pid: number | null;
  readonly detail: string;
}

/** The agent holds this file with flock(2) for as long as it runs. */
export const LOCK_FILE = 'agent.lock';

/**
 * Tells whether an agent holds the lock of a data directory, from /proc/locks (proc(5)): trying
 * the lock would get in the way of an agent that is just starting.
 */
export async function agentState(dataDir: string): Promise<AgentState> {
  const path = join(dataDir, LOCK_FILE);
  const unknown = (why: unknown): AgentState => ({
    running: 'unknown',
    pid: null,
    detail: why instanceof Error ? why.message : String(why),
  });
  let file: { readonly ino: number; readonly dev: number };
  try {
    file = await stat(path);
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return absent ? { running: 'no', pid: null, detail: `no ${path}` } : unknown(error);
  }
  try {
    return readLocks(await readFile('/proc/locks', 'utf8'), file, path);
  } catch (error) {
    return unknown(error);
  }
}

/** Looks a file up in the text of /proc/locks: `1: FLOCK ADVISORY WRITE PID MAJ:MIN:INODE 0 EOF`. */
export function readLocks(
  locks: string,
  file: { readonly ino: number; readonly dev: number },
  path: string,
): AgentState {
  const held = locks.split('\n').flatMap((line) => {
    const match = /^\d+: FLOCK +\S+ +\S+ +(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line);
    if (match === null || Number(match[4]) !== file.ino) return [];
    const [major, minor] = [
      Number.parseInt(match[2] ?? '', 16),
      Number.parseInt(match[3] ?? '', 16),
    ];
    return [{ pid: Number(match[1]), sameDevice: deviceNumber(major, minor) === file.dev }];
  });
  const holder = held.find((lock) => lock.sameDevice);
  if (holder !== undefined) {
    const pid = holder.pid > 0 ? holder.pid : null;
    return { running: 'yes', pid, detail: `${path} is held` };
  }
  // Some file systems (btrfs, overlayfs) report another device there than to stat(2).
  if (held.length > 0) return { running: 'unknown', pid: null, detail: `${path} may be held` };
  return { running: 'no', pid: null, detail: `${path} is not held` };
}

/** st_dev as glibc's makedev(3) packs it. */
function deviceNumber(major: number, minor: number): number {
  const low = ((major & 0xfff) << 8) | (minor & 0xff);
  const high = (major >>> 12) * 2 ** 32 * 2 ** 12 + (minor >>> 8) * 2 ** 20;
  return low + high;
}
