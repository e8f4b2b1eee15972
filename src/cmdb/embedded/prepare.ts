import { randomUUID } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type pino from 'pino';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { describeError } from '../errors.ts';
import { type Account, serverAccount } from './account.ts';
import { type Binaries, findBinaries } from './binaries.ts';
import { writeConfigFiles } from './config-files.ts';
import { type EmbeddedLayout, ROLE } from './layout.ts';
import { clusterMajor } from './postmaster-pid.ts';
import { runAs } from './run-as.ts';

/** All a server needs to be started. */
export interface PreparedCluster {
  readonly account: Account;
  readonly binaries: Binaries;
}

const INITDB_TIMEOUT_MS = 120_000;

/** Makes the data directory and ours in it, or says why that can't be. */
async function makeDirectories(layout: EmbeddedLayout): Promise<void> {
  try {
    await mkdir(layout.home, { recursive: true, mode: 0o755 });
    accessSync(layout.dataDir, constants.W_OK | constants.X_OK);
    accessSync(layout.home, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new UserError(
      ExitCode.unsupported,
      `can't write to the data directory ${layout.dataDir}: ${describeError(error)}; choose another with --data-dir`,
      { cause: error },
    );
  }
}

/** The server's account must get through to its files. */
async function letThrough(
  layout: EmbeddedLayout,
  account: Account,
  log: pino.Logger,
): Promise<void> {
  if (!account.switchTo) return;
  // Stays root's own, so that the account can't lay links for what root writes here.
  await chmod(layout.home, 0o755);
  const { mode } = statSync(layout.dataDir);
  if ((mode & 0o001) === 0) {
    await chmod(layout.dataDir, (mode & 0o7777) | 0o011);
    log.info({ dataDir: layout.dataDir }, 'let other accounts pass through the data directory');
  }
  for (let path = dirname(layout.dataDir); path !== dirname(path); path = dirname(path)) {
    if (await canPass(path, account)) continue;
    throw new UserError(
      ExitCode.unsupported,
      `user ${account.name}, as whom the embedded CMDB runs, can't pass through ${path}: choose another --data-dir, or chmod o+x ${path}`,
    );
  }
}

async function canPass(path: string, account: Account): Promise<boolean> {
  try {
    await runAs(account, ['test', '-x', path]);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 1) return false;
    throw error;
  }
}

/** Start time of a process in clock ticks (proc(5), field 22 of stat), undefined if there is none. */
function startTicks(pid: number | string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Removes what an initdb left that was killed half-way: its name tells which process it was for. */
async function removeUnfinished({ home }: EmbeddedLayout, log: pino.Logger): Promise<void> {
  for (const name of await readdir(home)) {
    const [, pid = '', ticks] = /^data\.init-(\d+)-(\d+)-/.exec(name) ?? [];
    if (ticks && startTicks(pid) !== ticks) await removeCluster(join(home, name), log);
  }
}

/** What initdb started may outlive it by a moment and still write: then the next start removes it. */
async function removeCluster(directory: string, log: pino.Logger): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  } catch (error) {
    log.warn({ err: error, directory }, 'an unfinished cluster is left for now');
  }
}

/** Under another name first: a cluster that has its name is complete. */
async function createCluster(
  layout: EmbeddedLayout,
  { account, binaries }: PreparedCluster,
  log: pino.Logger,
): Promise<void> {
  await removeUnfinished(layout, log);
  const unfinished = `${layout.cluster}.init-${process.pid}-${startTicks(process.pid)}-${randomUUID()}`;
  log.info({ cluster: layout.cluster, version: binaries.version }, 'creating the embedded CMDB');
  const initdb = join(binaries.binDir, 'initdb');
  const options = [`--username=${ROLE}`, '--auth=peer', '--no-locale', '--encoding=UTF8'];
  if (binaries.major >= 14) options.push('--no-instructions');
  try {
    await mkdir(unfinished, { mode: 0o700 });
    if (account.switchTo) await chown(unfinished, account.uid, account.gid);
    await runAs(account, [initdb, '-D', unfinished, ...options], {
      timeoutMs: INITDB_TIMEOUT_MS,
    });
    await rename(unfinished, layout.cluster);
  } catch (error) {
    await removeCluster(unfinished, log);
    // Another agent or ttctl was faster.
    if (clusterMajor(layout.cluster) !== undefined) return;
    const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
    const reason = stderr.trim().split('\n')[0] || describeError(error);
    throw new UserError(
      ExitCode.cmdbUnreachable,
      `can't create the embedded CMDB in ${layout.home}: ${reason}`,
      { cause: error },
    );
  }
}

/** Far from the data directory the socket's place has a guessable name: trust it only if it is ours. */
async function makeSocketDirectory(layout: EmbeddedLayout, account: Account): Promise<void> {
  try {
    await mkdir(layout.socketDir, { mode: 0o755 });
    await chmod(layout.socketDir, 0o755);
    if (account.switchTo) await chown(layout.socketDir, account.uid, account.gid);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  const found = await lstat(layout.socketDir);
  if (!found.isDirectory() || found.uid !== account.uid) {
    throw new UserError(
      ExitCode.cmdbUnreachable,
      `${layout.socketDir}, for the embedded CMDB's socket, belongs to somebody else: remove it or choose another --data-dir`,
    );
  }
}

/**
 * Makes a cluster ready to be started: account, binaries, initdb where there is none, configuration.
 * Needs no lock: two who do this at once come to the same result.
 */
export async function prepareCluster(
  layout: EmbeddedLayout,
  { binDir, log }: { readonly binDir: string | undefined; readonly log: pino.Logger },
): Promise<PreparedCluster> {
  await makeDirectories(layout);
  const owner = existsSync(layout.cluster) ? statSync(layout.cluster).uid : undefined;
  const account = await serverAccount(owner, log);
  await letThrough(layout, account, log);
  const major = clusterMajor(layout.cluster);
  const { home, cluster, socketDir } = layout;
  const binaries = await findBinaries({ clusterMajor: major, home, account, binDir, log });
  if (major === undefined) await createCluster(layout, { account, binaries }, log);
  await makeSocketDirectory(layout, account);
  const users = ['root', account.name, userInfo().username];
  await writeConfigFiles(cluster, { socketDir, major: binaries.major, account, users });
  return { account, binaries };
}
