import type pg from 'pg';
import type pino from 'pino';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { embeddedLayout } from './layout.ts';
import { clusterMajor } from './postmaster-pid.ts';
import { embeddedConfig } from './probe.ts';
import { Supervisor } from './supervisor.ts';

/** A PostgreSQL of our own that serves the CMDB of one data directory. */
export interface EmbeddedServer {
  /** How to connect; stays valid when the server has to be restarted. */
  readonly config: pg.ClientConfig;
  /** PostgreSQL's version, e.g. `18.4`. */
  readonly version: string;
  /** Somebody else's running server is used; it is not stopped by us. */
  readonly adopted: boolean;
  /** At most about 5 s. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  readonly dataDir: string;
  readonly log: pino.Logger;
  /** Directory of `initdb` and `postgres`, instead of those found by themselves. */
  readonly binDir?: string;
}

/**
 * Starts the embedded CMDB of a data directory, creating it if need be, or adopts the server that
 * runs on it already. It is kept running until stopped, and ends with this process. Call it from
 * the main thread: the kernel ties the server to the thread that started it.
 * @throws UserError: data directory not writable, no PostgreSQL, wrong version, no entry for this user
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const { dataDir, log, binDir } = options;
  const layout = embeddedLayout(dataDir, process.geteuid?.() === 0);
  const supervisor = new Supervisor({ layout, log, binDir });
  const { version, adopted } = await supervisor.start();
  return { config: embeddedConfig(layout), version, adopted, stop: () => supervisor.stop() };
}

/**
 * The embedded CMDB of a data directory for a reader: the server that runs, else one for as long as
 * the reader needs it.
 * @throws UserError (cmdbSchema) when the directory has no CMDB; as `startEmbedded` otherwise
 */
export async function findEmbedded(
  dataDir: string,
  log: pino.Logger,
  binDir?: string,
): Promise<EmbeddedServer> {
  const layout = embeddedLayout(dataDir, process.geteuid?.() === 0);
  if (clusterMajor(layout.cluster) === undefined) {
    throw new UserError(
      ExitCode.cmdbSchema,
      `no CMDB in ${layout.dataDir}: start ttracerd or run ttctl init, or name one with --data-dir or --cmdb`,
    );
  }
  return await startEmbedded({ dataDir, log, ...(binDir === undefined ? {} : { binDir }) });
}
