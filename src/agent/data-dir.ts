import { spawnSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  ftruncateSync,
  mkdirSync,
  openSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { ExitCode, UserError } from '../common/exit-codes.ts';

/** Held with flock(2) for as long as the agent runs; `ttctl doctor` looks at it. */
const LOCK_FILE = 'agent.lock';
/** flock(1) with -n ends so when somebody else holds the lock. */
const LOCK_IS_HELD = 1;

export interface DataDirLock {
  release(): void;
}

/**
 * Makes the data directory and takes it for this agent.
 * @throws UserError (usage) when it can't be written or another agent has it
 */
export function takeDataDir(dataDir: string): DataDirLock {
  const fd = openLockFile(dataDir);
  // Node has no flock(2). The lock belongs to the open file, which flock(1) shares with us and which
  // stays open here when it ends; the kernel drops the lock with the last descriptor, however we end.
  const { status, error } = spawnSync('flock', ['-n', '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  if (status !== 0) {
    closeSync(fd);
    if (status === LOCK_IS_HELD) {
      throw new UserError(
        ExitCode.usage,
        `another ttracerd works on ${dataDir}; stop it, or give this one its own --data-dir`,
      );
    }
    throw new UserError(
      ExitCode.usage,
      `can't lock ${join(dataDir, LOCK_FILE)} with flock(1) of util-linux: ${error?.message ?? `exit ${status}`}`,
    );
  }
  notePid(fd, dataDir);
  return { release: () => closeSync(fd) };
}

/** For whoever wonders which process holds the lock. */
function notePid(fd: number, dataDir: string): void {
  try {
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`);
  } catch (error) {
    closeSync(fd);
    throw unusable(dataDir, error);
  }
}

function openLockFile(dataDir: string): number {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o755 });
    accessSync(dataDir, constants.W_OK | constants.X_OK);
    return openSync(join(dataDir, LOCK_FILE), constants.O_RDWR | constants.O_CREAT, 0o644);
  } catch (error) {
    throw unusable(dataDir, error);
  }
}

function unusable(dataDir: string, error: unknown): UserError {
  const why = error instanceof Error ? error.message : String(error);
  return new UserError(
    ExitCode.usage,
    `the data directory ${dataDir} can't be used (${why}); give another with --data-dir`,
    { cause: error },
  );
}
