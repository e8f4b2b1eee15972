import { rm } from 'node:fs/promises';
import type pg from 'pg';
import { migrate } from '../../src/cmdb/migrate.ts';
import { startTestEmbedded, temporaryDirectory, withClient } from '../../test/support/postgres.ts';

/** What differs from the embedded CMDB's own settings: a server for a fleet has more memory. */
export const SETTINGS: Readonly<Record<string, string>> = {
  shared_buffers: '6GB',
  work_mem: '64MB',
  maintenance_work_mem: '512MB',
  max_wal_size: '8GB',
  max_worker_processes: '8',
  max_parallel_workers: '2',
  effective_cache_size: '16GB',
  random_page_cost: '1.1',
};

export interface BenchServer {
  readonly version: string;
  readonly config: pg.ClientConfig;
  /** Creates a database with the CMDB's schema, or an empty one. */
  createDatabase(name: string, migrated?: boolean): Promise<pg.ClientConfig>;
  stop(): Promise<void>;
}

/** Starts a throw-away server with the settings above. */
export async function startServer(): Promise<BenchServer> {
  const dataDir = await temporaryDirectory();
  const first = await startTestEmbedded(dataDir);
  await withClient(first.config, async (client) => {
    for (const [name, value] of Object.entries(SETTINGS)) {
      await client.query(`ALTER SYSTEM SET ${name} = '${value}'`);
    }
  });
  await first.stop();
  const server = await startTestEmbedded(dataDir);
  return {
    version: server.version,
    config: server.config,
    createDatabase: async (name, migrated = true) => {
      await withClient(server.config, (client) => client.query(`CREATE DATABASE ${name}`));
      const config = { ...server.config, database: name };
      if (migrated) await withClient(config, (client) => migrate(client));
      return config;
    },
    stop: async () => {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
