import type { ChildProcess } from 'node:child_process';
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedLayout } from './layout.ts';
import type { PreparedCluster } from './prepare.ts';
import { spawnAs } from './run-as.ts';

/** A server that is a child of this process. */
export interface Postmaster {
  readonly pid: number;
  /** Settles when it has ended, however. */
  readonly exited: Promise<string>;
  isRunning(): boolean;
  /** Cuts its log when that has grown large. */
  trimLog(): void;
  stop(): Promise<void>;
}

/** Fast shutdown writes a checkpoint; immediate leaves recovery to the next start. */
const STOP_STEPS = [
  { signal: 'SIGINT', waitMs: 3_000 },
  { signal: 'SIGQUIT', waitMs: 1_000 },
  { signal: 'SIGKILL', waitMs: 1_000 },
] as const;
const LOG_MAX_BYTES = 4 * 1024 * 1024;
const LOG_TAIL_LINES = 3;

/** Appending, so that the log can be cut under the server; no link is followed. */
function openLog(path: string): number {
  const { O_WRONLY, O_CREAT, O_APPEND, O_TRUNC, O_NOFOLLOW } = constants;
  return openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_TRUNC | O_NOFOLLOW, 0o600);
}

/** The end of the server's log, on one line. */
export function logTail(layout: EmbeddedLayout): string {
  const lines = readFileSync(layout.log, 'utf8').trim().split('\n');
  return lines.slice(-LOG_TAIL_LINES).join(' | ');
}

async function stopChild(child: ChildProcess, exited: Promise<string>): Promise<void> {
  for (const { signal, waitMs } of STOP_STEPS) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    const timer = new AbortController();
    await Promise.race([exited, sleep(waitMs, undefined, { signal: timer.signal }).catch(() => 0)]);
    timer.abort();
  }
}

/** Starts a server on a prepared cluster; it may still end at once, e.g. when another runs there. */
export function startPostmaster(
  layout: EmbeddedLayout,
  { account, binaries }: PreparedCluster,
): Postmaster {
  const logFd = openLog(layout.log);
  const command = [join(binaries.binDir, 'postgres'), '-D', layout.cluster];
  const child = spawnAs(account, command, logFd);
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit status ${code}`));
  });
  exited.then(() => closeSync(logFd)).catch(() => undefined);
  const isRunning = () =>
    child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    pid: child.pid ?? 0,
    exited,
    isRunning,
    trimLog: () => {
      if (isRunning() && fstatSync(logFd).size > LOG_MAX_BYTES) ftruncateSync(logFd);
    },
    stop: () => stopChild(child, exited),
  };
}
