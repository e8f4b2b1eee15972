import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import type { Account } from './account.ts';

const runFile = promisify(execFile);

/** No PG* variables, no locale, no library path of ours reaches the server. */
const CLEAN_ENVIRONMENT = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
};

/**
 * Runs "$@" unless the parent died before setpriv asked to be told: then nobody would ever tell.
 * $0 is the parent's pid.
 */
const UNLESS_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"';

/** The command line that becomes `account` and gets `signal` when the thread that spawns it dies. */
function commandLine(
  account: Account,
  signal: 'INT' | 'KILL',
  command: readonly string[],
): string[] {
  const become = account.switchTo
    ? [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups', '--no-new-privs']
    : [];
  const guard = ['/bin/sh', '-c', UNLESS_ORPHANED, String(process.pid)];
  return ['setpriv', ...become, '--pdeathsig', signal, ...guard, ...command];
}

/**
 * Runs a command to its end as `account`; it is killed if this process dies.
 * @returns its standard output
 * @throws what execFile throws, with `stderr`
 */
export async function runAs(
  account: Account,
  command: readonly string[],
  { timeoutMs = 10_000 } = {},
): Promise<string> {
  const [file = '', ...args] = commandLine(account, 'KILL', command);
  const options = { cwd: '/', env: CLEAN_ENVIRONMENT, timeout: timeoutMs };
  return (await runFile(file, args, { ...options, killSignal: 'SIGKILL' })).stdout;
}

/**
 * Starts a server as `account`; it gets SIGINT if this process dies. In a session of its own, so
 * that Ctrl-C in a terminal reaches only this process, which stops the server when it is done.
 * @param logFd receives standard output and error
 */
export function spawnAs(account: Account, command: readonly string[], logFd: number): ChildProcess {
  const [file = '', ...args] = commandLine(account, 'INT', command);
  const child = spawn(file, args, {
    cwd: '/',
    env: CLEAN_ENVIRONMENT,
    stdio: ['ignore', logFd, logFd],
    detached: true,
  });
  // Forgetting to stop the server must not keep this process alive: its end stops the server.
  child.unref();
  return child;
}
