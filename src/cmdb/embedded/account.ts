import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type pino from 'pino';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { describeError } from '../errors.ts';

const runFile = promisify(execFile);

/** The system account a server runs as. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** This process is root and must become it. */
  readonly switchTo: boolean;
}

const OWN_ACCOUNT = 'transtracer';
/** Unprivileged accounts to fall back to, best first. */
const STAND_INS = ['postgres', 'nobody'] as const;
/** useradd gives up at once while somebody else has /etc/passwd locked. */
const USERADD_TRIES = 20;

/** Looks up an account by name or number, in whatever name service this host uses. */
async function lookUp(nameOrUid: string | number, switchTo: boolean): Promise<Account | undefined> {
  try {
    const { stdout } = await runFile('getent', ['passwd', String(nameOrUid)]);
    const [name, , uid, gid] = stdout.trim().split(':');
    if (!name || !uid || !gid) return undefined;
    return { name, uid: Number(uid), gid: Number(gid), switchTo };
  } catch (error) {
    // getent exits 2 for "not found".
    if (error instanceof Error && 'code' in error && error.code === 2) return undefined;
    throw error;
  }
}

async function addOwnAccount(): Promise<void> {
  const options = ['--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent'];
  await runFile('useradd', [...options, '--shell', '/usr/sbin/nologin', OWN_ACCOUNT]);
}

async function findOrAddOwnAccount(log: pino.Logger): Promise<Account | undefined> {
  for (let attempt = 1; ; attempt++) {
    const account = await lookUp(OWN_ACCOUNT, true);
    if (account) return account;
    try {
      await addOwnAccount();
      log.info({ account: OWN_ACCOUNT }, 'created the system account of the embedded CMDB');
    } catch (error) {
      const isOthersDoing = /lock|exists/.test(describeError(error));
      if (!isOthersDoing || attempt >= USERADD_TRIES) {
        log.warn({ err: error }, `can't create the system account ${OWN_ACCOUNT}`);
        return undefined;
      }
      await sleep(50 + Math.random() * 100);
    }
  }
}

async function findStandIn(log: pino.Logger): Promise<Account> {
  for (const name of STAND_INS) {
    const account = await lookUp(name, true);
    if (account && account.uid !== 0) {
      log.warn({ account: name }, 'the embedded CMDB runs as an account it shares with others');
      return account;
    }
  }
  throw new UserError(
    ExitCode.unsupported,
    `PostgreSQL refuses to run as root and the account ${OWN_ACCOUNT} can't be created: create it (useradd --system ${OWN_ACCOUNT}) or give --cmdb a postgres:// URL`,
  );
}

/**
 * Chooses the account of the server: this process's own, or for root (which PostgreSQL refuses) the
 * owner of the existing cluster, else a system account of our own, else an unprivileged stand-in.
 * @param clusterOwner uid of the owner of the existing cluster
 */
export async function serverAccount(
  clusterOwner: number | undefined,
  log: pino.Logger,
): Promise<Account> {
  const uid = process.geteuid?.() ?? 0;
  if (uid !== 0) return await requireAccount(uid, false);
  if (clusterOwner !== undefined && clusterOwner !== 0) {
    return await requireAccount(clusterOwner, true);
  }
  return (await findOrAddOwnAccount(log)) ?? (await findStandIn(log));
}

async function requireAccount(uid: number, switchTo: boolean): Promise<Account> {
  const account = await lookUp(uid, switchTo);
  if (account) return account;
  throw new UserError(
    ExitCode.unsupported,
    `user id ${uid} has no entry in /etc/passwd, which PostgreSQL needs: add one or give --cmdb a postgres:// URL`,
  );
}
