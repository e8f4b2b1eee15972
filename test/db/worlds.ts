import { after, before } from 'node:test';
import type pg from 'pg';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { type WorldHost, writeWorld } from './query-world.ts';

/**
 * A server for the tests of one file. What it gives makes a database of its own with what the hosts
 * saw.
 */
export function useWorlds(): (...hosts: readonly WorldHost[]) => Promise<pg.ClientConfig> {
  let postgres: TestPostgres;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(async () => {
    await postgres.stop();
  });
  return async (...hosts) => {
    const config = await postgres.createDatabase();
    await writeWorld(config, hosts);
    return config;
  };
}
