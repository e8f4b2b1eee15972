import { readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, UserError } from '../../common/exit-codes.ts';

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

/** A file of the cluster, undefined when there is none. */
function readClusterFile(cluster: string, name: string): string | undefined {
  try {
    return readFileSync(join(cluster, name), 'utf8');
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code !== 'EACCES') throw error;
    throw new UserError(
      ExitCode.cmdbUnreachable,
      `may not read the embedded CMDB in ${cluster}: run as root, or as the user who owns it`,
      { cause: error },
    );
  }
}

/**
 * The pid of the server that runs on this cluster, from its lock file `postmaster.pid`.
 * @returns undefined when none does; a lock file left by a crash counts as none
 * @throws UserError (cmdbUnreachable) when this user may not look
 */
export function runningPostmaster(cluster: string): number | undefined {
  const pid = Number.parseInt(readClusterFile(cluster, 'postmaster.pid') ?? '', 10);
  return pid > 0 && isAlive(pid) && worksIn(pid, cluster) ? pid : undefined;
}

/**
 * Major version of an existing cluster, undefined when there is none.
 * @throws UserError (cmdbUnreachable) when this user may not look
 */
export function clusterMajor(cluster: string): number | undefined {
  const text = readClusterFile(cluster, 'PG_VERSION');
  return text === undefined ? undefined : Number.parseInt(text, 10);
}
