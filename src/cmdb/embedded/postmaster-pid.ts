import { readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

function systemCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** Whether a process of this pid exists, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

/** A postmaster works in its cluster's directory; a process that got the pid later does not. */
function worksIn(pid: number, cluster: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(cluster);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ESRCH') return false;
    // Another user's process: PostgreSQL's own check at start has the last word.
    return true;
  }
}

/**
 * The pid of the server that runs on this cluster, from its lock file `postmaster.pid`.
 * @returns undefined when none does; a lock file left by a crash counts as none
 */
export function runningPostmaster(cluster: string): number | undefined {
  const file = join(cluster, 'postmaster.pid');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const pid = Number.parseInt(text, 10);
  return pid > 0 && isAlive(pid) && worksIn(pid, cluster) ? pid : undefined;
}

/**
 * Major version of an existing cluster, undefined when there is none.
 * @throws the system's error when this user may not look
 */
export function clusterMajor(cluster: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(join(cluster, 'PG_VERSION'), 'utf8'), 10);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
