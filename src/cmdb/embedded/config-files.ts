import { randomUUID } from 'node:crypto';
import { chown, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { PORT, ROLE } from './layout.ts';

/** Quotes a value for postgresql.conf. */
function quoted(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

/** A small server for one writer and a few readers; what an admin sets with ALTER SYSTEM wins. */
export function postgresqlConf(socketDir: string, major: number): string {
  const directory = `"${socketDir.replaceAll('"', '""')}"`;
  const settings: Readonly<Record<string, string | number>> = {
    listen_addresses: quoted(''),
    port: PORT,
    unix_socket_directories: quoted(directory),
    // Peer authentication decides, not the mode: root without CAP_DAC_OVERRIDE must get in.
    unix_socket_permissions: '0777',
    max_connections: 20,
    shared_buffers: '16MB',
    jit: 'off',
    max_worker_processes: 2,
    max_parallel_workers: 0,
    max_logical_replication_workers: 0,
    ...(major >= 18 ? { io_method: 'sync' } : {}),
    wal_level: 'minimal',
    max_wal_senders: 0,
    min_wal_size: '32MB',
    max_wal_size: '256MB',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_min_error_statement: 'panic',
    log_checkpoints: 'off',
    log_line_prefix: quoted('%m [%p] '),
    log_timezone: 'UTC',
    timezone: 'UTC',
    lc_messages: 'C',
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
  return `# Written by transtracer at every start; use ALTER SYSTEM to change settings.\n${lines.join('')}`;
}

const PG_HBA_CONF = `# Written by transtracer at every start.
local all all peer map=transtracer
`;

/** These operating system users may act as our database role. */
export function pgIdentConf(users: readonly string[]): string {
  const lines = [...new Set(users)].map(
    (user) => `transtracer "${user.replaceAll('"', '""')}" ${ROLE}\n`,
  );
  return `# Written by transtracer at every start.\n${lines.join('')}`;
}

/** Replaces a file at once; never follows a link the server's account could have put there. */
async function replaceFile(path: string, content: string, account: Account): Promise<void> {
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, content, { flag: 'wx', mode: 0o600 });
  if (account.switchTo) await chown(draft, account.uid, account.gid);
  await rename(draft, path);
}

/** Writes the three configuration files into a cluster. */
export async function writeConfigFiles(
  cluster: string,
  options: {
    readonly socketDir: string;
    readonly major: number;
    readonly account: Account;
    readonly users: readonly string[];
  },
): Promise<void> {
  const { socketDir, major, account, users } = options;
  const put = (name: string, content: string) => replaceFile(join(cluster, name), content, account);
  await put('postgresql.conf', postgresqlConf(socketDir, major));
  await put('pg_hba.conf', PG_HBA_CONF);
  await put('pg_ident.conf', pgIdentConf(users));
}
