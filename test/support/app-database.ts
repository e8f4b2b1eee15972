import { spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { embeddedLayout, ROLE } from '../../src/cmdb/embedded/layout.ts';
import { prepareCluster } from '../../src/cmdb/embedded/prepare.ts';
import { silentLog, TEST_PG_BIN, temporaryDirectory, withClient } from './postgres.ts';
import { eventually } from './processes.ts';

export const APP_DATABASE_PORT = 5432;

export interface AppDatabaseOptions {
  /** Address it listens on; whoever reaches it gets in. */
  readonly address: string;
  /** Command that runs it: `['nsenter', '--net=PATH']`. */
  readonly wrapper: readonly string[];
}

/** A PostgreSQL that an application under test uses; no CMDB. */
export interface AppDatabase {
  readonly pid: number;
  /** Connections by TCP that it has now, as it says itself. */
  connections(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts a PostgreSQL on port 5432 of an address. */
export async function startAppDatabase(options: AppDatabaseOptions): Promise<AppDatabase> {
  const directory = await temporaryDirectory();
  const layout = embeddedLayout(directory, true);
  const { account, binaries } = await prepareCluster(layout, {
    binDir: TEST_PG_BIN,
    log: silentLog,
  });
  const hba = join(directory, 'pg_hba.conf');
  await writeFile(hba, 'local all all trust\nhost all all samenet trust\n', { mode: 0o644 });
  const settings = { listen_addresses: options.address, port: APP_DATABASE_PORT, hba_file: hba };
  const become = account.switchTo
    ? [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups']
    : [];
  const [command = '', ...argv] = [
    ...options.wrapper,
    ...['setpriv', ...become, '--pdeathsig', 'INT'],
    ...[join(binaries.binDir, 'postgres'), '-D', layout.cluster],
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  const child = spawn(command, argv, { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => resolve());
  });
  ended.catch(() => undefined); // told below
  const stop = async (): Promise<void> => {
    child.kill('SIGINT');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
    await rm(directory, { recursive: true, force: true });
  };
  const config: pg.ClientConfig = {
    host: layout.socketDir,
    port: APP_DATABASE_PORT,
    user: ROLE,
    database: 'postgres',
  };
  const connections = (): Promise<number> =>
    withClient(config, async (client) => {
      const sql = 'SELECT count(*)::int AS n FROM pg_stat_activity WHERE client_addr IS NOT NULL';
      const { rows } = await client.query<{ n: number }>(sql);
      return rows[0]?.n ?? 0;
    });
  try {
    await eventually(
      () => {
        if (child.exitCode !== null) throw new Error(`PostgreSQL ended: ${stderr}`);
        return connections().then(
          () => true,
          () => false,
        );
      },
      { what: 'a PostgreSQL for the application' },
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return { pid: child.pid ?? 0, connections, stop };
}
