import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readlinkSync, rmdirSync, unlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type pino from 'pino';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import type { AgentOptions } from './options.ts';

/** Below the mount point of bpffs; a directory in it for each agent. */
const ROOT = '/sys/fs/bpf/transtracer';
/** flock(1) with -n ends so when somebody else holds the lock. */
const LOCK_IS_HELD = 1;

/**
 * The directory of pins of an agent. Others on the same host, told apart by data directory, host id
 * or network namespace, have others: they must not take over each other's counts.
 */
export function pinDirectory(
  { dataDir, netns }: Pick<AgentOptions, 'dataDir' | 'netns'>,
  hostId: string,
): string {
  const namespace = netns === 'own' ? readlinkSync('/proc/self/ns/net') : 'all';
  return join(ROOT, `${dataDirName(dataDir)}-${shortHash(`${hostId} ${namespace}`)}`);
}

/**
 * Where the helper is to leave programs and counts; null where it is to leave none. What an earlier
 * run left there is then removed: nobody would ever read it.
 */
export function takePinDir(options: AgentOptions, hostId: string, log: pino.Logger): string | null {
  if (options.once) return null;
  const directory = pinDirectory(options, hostId);
  if (options.pin && options.mode !== 'poll') return directory;
  const { files } = removeDirectory(directory);
  if (files.length > 0) log.info({ directory }, 'removed the pins of an earlier run');
  return null;
}

/**
 * Removes what agents left in the kernel: links, and with them programs, maps and counts.
 * @param dataDir only those of agents with this data directory; null: all
 * @returns what was removed, for people
 * @throws UserError when an agent that runs needs them, or without the privilege
 */
export function uninstall(dataDir: string | null): string {
  const lines: string[] = [];
  const inUse: string[] = [];
  for (const name of namesIn(ROOT)) {
    if (dataDir !== null && !name.startsWith(`${dataDirName(dataDir)}-`)) continue;
    const directory = join(ROOT, name);
    if (isInUse(directory)) {
      inUse.push(directory);
      continue;
    }
    const { files } = removeDirectory(directory);
    const links = files.filter((file) => file.startsWith('link_')).length;
    lines.push(`removed ${directory}: ${links} programs, ${files.length - links} maps`);
  }
  if (inUse.length === 0) removeIfEmpty(ROOT);
  if (lines.length === 0 && inUse.length === 0) lines.push('nothing is pinned');
  if (inUse.length > 0) {
    const before = lines.length === 0 ? '' : `${lines.join('; ')}; `;
    throw new UserError(
      ExitCode.usage,
      `${before}${inUse.join(', ')} is in use by a ttracerd that runs: stop it first`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function dataDirName(dataDir: string): string {
  return shortHash(resolve(dataDir));
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

/** The helper locks its directory. */
function isInUse(directory: string): boolean {
  return spawnSync('flock', ['-n', directory, 'true'], { stdio: 'ignore' }).status === LOCK_IS_HELD;
}

function removeDirectory(directory: string): { readonly files: readonly string[] } {
  const files = namesIn(directory);
  // The set first: without it a helper takes the rest for what was left half-made.
  for (const file of files.toSorted((a, b) => Number(b === 'set') - Number(a === 'set'))) {
    unlinkSync(join(directory, file));
  }
  removeIfEmpty(directory);
  return { files };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    if (codeOf(error) !== 'EACCES') throw error;
    throw new UserError(ExitCode.unsupported, `${directory} can't be read: run as root`, {
      cause: error,
    });
  }
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY') throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
