import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../test/support/run.ts';
import { GROUP_PREFIX, mountPoint } from './cgroup.ts';
import { HOST_PREFIX } from './world.ts';

const NETNS_DIRECTORY = '/run/netns';
/** How long processes may take to end before they are killed, and after. */
const [TERM_MS, KILL_MS] = [3000, 10_000];

/** What conditions switch for the whole machine. */
const SETTINGS = [
  '/proc/sys/kernel/bpf_stats_enabled',
  '/proc/sys/net/netfilter/nf_log_all_netns',
] as const;

/** A directory below `root` that holds all that this run writes but its results. */
export async function ownDirectory(root: string): Promise<string> {
  const directory = join(root, `${HOST_PREFIX}${process.pid}`);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  return directory;
}

/** The machine's settings as they are now; to be written back in the end. */
export function settings(): ReadonlyMap<string, string> {
  return new Map(
    SETTINGS.filter(existsSync).map((path) => [path, readFileSync(path, 'utf8').trim()]),
  );
}

export function restore(saved: ReadonlyMap<string, string>): void {
  for (const [path, value] of saved) {
    if (existsSync(path)) writeFileSync(path, value);
  }
}

/** Removes what benches that were killed have left: of all that no longer run. */
export async function removeStale(root: string): Promise<void> {
  const pids = new Set(
    [...entries(mountPoint(), GROUP_PREFIX), ...entries(NETNS_DIRECTORY, HOST_PREFIX)]
      .concat(entries(root, HOST_PREFIX))
      .map((name) => Number(/\d+/.exec(name)?.[0])),
  );
  for (const pid of pids) if (!isBench(pid)) await removeOf(pid, root);
}

/** Ends the processes that a bench has started and removes its hosts, groups and files. */
export async function removeOf(pid: number, root: string): Promise<void> {
  const groups = entries(mountPoint(), `${GROUP_PREFIX}${pid}-`).map((name) =>
    join(mountPoint(), name),
  );
  for (const group of groups) await empty(group);
  for (const name of entries(NETNS_DIRECTORY, `${HOST_PREFIX}${pid}-`)) {
    await run('ip', ['netns', 'delete', name]);
  }
  rmSync(join(root, `${HOST_PREFIX}${pid}`), { recursive: true, force: true });
}

function entries(directory: string, prefix: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => name.startsWith(prefix));
}

/** A process that is there and is not another program that has been given the same pid. */
function isBench(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('bench/overhead/');
  } catch {
    // It ended.
    return false;
  }
}

/** Ends whoever is in a group, and removes it. `cgroup.kill` is there from 5.14 on only. */
async function empty(group: string): Promise<void> {
  const startedMs = performance.now();
  while (existsSync(group)) {
    const pids = readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
    if (pids.length === 0) removeGroup(group);
    const elapsedMs = performance.now() - startedMs;
    if (elapsedMs > KILL_MS) throw new Error(`${group}: its processes do not end`);
    for (const pid of pids) kill(Number(pid), elapsedMs < TERM_MS ? 'SIGTERM' : 'SIGKILL');
    await sleep(20);
  }
}

/** Processes that have just ended keep it busy for a moment. */
function removeGroup(group: string): void {
  try {
    rmdirSync(group);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended meanwhile.
  }
}
