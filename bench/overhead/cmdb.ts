import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pino from 'pino';
import { embeddedLayout } from '../../src/cmdb/embedded/layout.ts';
import { type EmbeddedServer, startEmbedded } from '../../src/cmdb/embedded/server.ts';
import { migrate } from '../../src/cmdb/migrate.ts';
import { temporaryDirectory, urlOf, withClient } from '../../test/support/postgres.ts';
import { childrenOf } from '../../test/support/processes.ts';
import { run } from '../../test/support/run.ts';
import { Cgroup } from './cgroup.ts';
import type { Seen } from './seen.ts';
import { CLIENT_CORE, SERVER_PORT } from './world.ts';

/** The PostgreSQL that our agents write to: its CPU time is theirs. */
export class Cmdb {
  readonly url: string;
  readonly group = new Cgroup('cmdb');
  readonly #directory: string;
  readonly #server: EmbeddedServer;

  private constructor(directory: string, server: EmbeddedServer) {
    this.#directory = directory;
    this.#server = server;
    this.url = urlOf(server.config);
  }

  static async start(): Promise<Cmdb> {
    const directory = await temporaryDirectory();
    const server = await startEmbedded({ dataDir: directory, log: pino({ enabled: false }) });
    await withClient(server.config, (client) => migrate(client));
    const cmdb = new Cmdb(directory, server);
    await cmdb.#place();
    return cmdb;
  }

  /** An identity for one run of an agent, so that its rows can be told from those before. */
  newHostId(): string {
    return randomUUID();
  }

  /** Connections to the server's port that an agent wrote, as its side saw them. */
  async seenBy(hostId: string, side: 'A' | 'P', process: string): Promise<Seen> {
    const [row] = await withClient(this.#server.config, async (client) => {
      // Many flows have just been written: without statistics the join below may take minutes.
      await client.query('ANALYZE flows, flow_history, processes');
      return client
        .query<{ connections: string; named: string }>(
          `SELECT coalesce(sum(h.opened), 0) AS connections,
                  coalesce(sum(h.opened) FILTER (WHERE p.name = $4), 0) AS named
           FROM flow_history h
           JOIN flows f USING (host_id, flow_id)
           LEFT JOIN processes p USING (host_id, process_id)
           WHERE f.host_id = $1 AND f.side = $2 AND f.passive_port = $3`,
          [hostId, side, SERVER_PORT, process],
        )
        .then(({ rows }) => rows);
    });
    return { connections: Number(row?.connections), named: Number(row?.named) };
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    await rm(this.#directory, { recursive: true, force: true });
    await this.group.remove();
  }

  /** Its backends inherit the group and the core. */
  async #place(): Promise<void> {
    const file = join(embeddedLayout(this.#directory, true).cluster, 'postmaster.pid');
    const postmaster = Number((await readFile(file, 'utf8')).split('\n')[0]);
    for (const pid of [postmaster, ...childrenOf(postmaster)]) {
      if (!this.group.add(pid)) continue;
      await run('taskset', ['-cp', String(CLIENT_CORE), String(pid)]); // it may end just then
    }
  }
}
