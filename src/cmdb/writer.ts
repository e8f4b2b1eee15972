import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type pino from 'pino';
import type { FlowRecord, FlushBatch } from '../flow/records.ts';
import { type CmdbConnection, connect, withTimeout } from './connection.ts';
import { type CopyValue, copyChunks, storableText } from './copy-text.ts';
import { CmdbUnavailable, classifyWriteError, describeError, NoAnswer } from './errors.ts';
import { Marks } from './marks.ts';
import { migrate } from './migrate.ts';
import * as rows from './rows.ts';
import { BEGIN_FLUSH } from './statements/begin-flush.ts';
import { COPY_FLOWS } from './statements/copy-flows.ts';
import { COPY_HISTORY } from './statements/copy-history.ts';
import { ENSURE_PARTITIONS } from './statements/ensure-partitions.ts';
import { STAGE_FLOWS } from './statements/stage-flows.ts';
import { STAGE_HISTORY } from './statements/stage-history.ts';
import { UPSERT_BUCKET_LENGTHS } from './statements/upsert-bucket-lengths.ts';
import { UPSERT_CONTAINERS } from './statements/upsert-containers.ts';
import { UPSERT_COVERAGE } from './statements/upsert-coverage.ts';
import { UPSERT_FLOW_DAYS } from './statements/upsert-flow-days.ts';
import { UPSERT_FLOWS } from './statements/upsert-flows.ts';
import { UPSERT_HISTORY } from './statements/upsert-history.ts';
import { UPSERT_HOST } from './statements/upsert-host.ts';
import { UPSERT_HOST_ADDRESSES } from './statements/upsert-host-addresses.ts';
import { UPSERT_PASSIVE_NODES } from './statements/upsert-passive-nodes.ts';
import { UPSERT_PROCESSES } from './statements/upsert-processes.ts';

export interface WriteStats {
  readonly flows: number;
  readonly historyRows: number;
  readonly durationMs: number;
  /**
   * The database did not know this host before this flush. When the agent had written to it before,
   * the database was replaced: hand over everything known, not only what changed.
   */
  readonly hostIsNew: boolean;
}

export interface CmdbWriterOptions {
  readonly config: pg.ClientConfig;
  readonly log: pino.Logger;
  /** Milliseconds from an arbitrary start; for durations. */
  readonly clock?: () => number;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** Over all statements of a flush, for a server or network that stops answering. */
const WRITE_TIMEOUT_MS = 30_000;

/**
 * Writes flushes to the CMDB, one transaction each, over one connection made when it is needed.
 * Calls queue up. After any error the connection is dropped and the next write makes a new one.
 */
export class CmdbWriter {
  readonly #config: pg.ClientConfig;
  readonly #log: pino.Logger;
  readonly #clock: () => number;
  #connection: CmdbConnection | undefined;
  readonly #partitionedDays = new Set<string>();
  readonly #marks = new Marks();
  #queue: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor({ config, log, clock = () => performance.now() }: CmdbWriterOptions) {
    this.#config = config;
    this.#log = log;
    this.#clock = clock;
  }

  /**
   * Connects and brings the schema up to date, if that has not been done.
   * @throws CmdbUnavailable, or UserError (cmdbSchema) when this program can't use the database
   */
  connect(): Promise<void> {
    return this.#enqueue(async () => {
      await this.#ensureConnection();
    });
  }

  /**
   * Writes a flush. Totals are absolute, so writing the same batch again changes nothing.
   * @throws CmdbUnavailable: keep the batch and write it again; CmdbRejected: it will never be
   *   accepted; UserError (cmdbSchema): this program can't use the database
   */
  write(batch: FlushBatch): Promise<WriteStats> {
    return this.#enqueue(async () => {
      const connection = await this.#ensureConnection();
      const late = new NoAnswer(`no answer from the CMDB within ${WRITE_TIMEOUT_MS / 1000} s`);
      return await withTimeout(this.#flush(connection.client, batch), WRITE_TIMEOUT_MS, () =>
        connection.cut(late),
      );
    });
  }

  /** Waits for queued writes, which fail after `timeoutMs`, then disconnects. */
  async close(timeoutMs = WRITE_TIMEOUT_MS): Promise<void> {
    this.#closed = true;
    await withTimeout(this.#queue, timeoutMs, () =>
      this.#connection?.cut(new Error('the CMDB writer was closed in the middle of a write')),
    );
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.close();
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(async () => {
      try {
        return await work();
      } catch (error) {
        this.#dropConnection();
        throw classifyWriteError(error);
      }
    });
    // The queue only orders; the caller gets the error.
    this.#queue = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  #dropConnection(): void {
    this.#connection?.cut(new Error('dropped after an error'));
    this.#connection = undefined;
    // What the next connection reaches may be another database, or one from a backup.
    this.#partitionedDays.clear();
    this.#marks.clear();
  }

  async #ensureConnection(): Promise<CmdbConnection> {
    if (this.#connection?.isOpen()) return this.#connection;
    if (this.#closed) throw new CmdbUnavailable('the CMDB writer is closed');
    this.#dropConnection();
    const connection = await this.#connect();
    this.#connection = connection;
    const applied = await withTimeout(migrate(connection.client), WRITE_TIMEOUT_MS, () =>
      connection.cut(new NoAnswer('the schema was not ready in time')),
    );
    if (applied.length > 0) this.#log.info({ versions: applied }, 'CMDB schema migrated');
    return connection;
  }

  async #connect(): Promise<CmdbConnection> {
    try {
      return await connect(this.#config, {
        timeoutMs: CONNECT_TIMEOUT_MS,
        applicationName: 'ttracerd',
      });
    } catch (error) {
      throw new CmdbUnavailable(`CMDB unreachable: ${describeError(error)}`, { cause: error });
    }
  }

  async #flush(client: pg.Client, batch: FlushBatch): Promise<WriteStats> {
    const startedMs = this.#clock();
    const flows = rows.uniqueFlows(batch.flows);
    await this.#ensurePartitions(client, rows.historyDays(flows));
    await client.query([BEGIN_FLUSH, STAGE_FLOWS, STAGE_HISTORY].join(';'));
    const hostIsNew = await upsertHost(client, batch);
    await upsertInventory(client, batch);
    if (hostIsNew) this.#marks.clear();
    const historyRows = await upsertFlows(client, batch, flows, this.#marks.missing(flows));
    await commit(client);
    this.#marks.add(flows);
    const stats = { flows: flows.length, historyRows, hostIsNew };
    return { ...stats, durationMs: this.#clock() - startedMs };
  }

  async #ensurePartitions(client: pg.Client, days: readonly string[]): Promise<void> {
    const missing = days.filter((day) => !this.#partitionedDays.has(day));
    if (missing.length === 0) return;
    await client.query(BEGIN_FLUSH);
    await client.query(ENSURE_PARTITIONS, [missing]);
    await client.query('COMMIT');
    for (const day of missing) this.#partitionedDays.add(day);
  }
}

/** An error from here on does not say that nothing was committed. */
async function commit(client: pg.Client): Promise<void> {
  try {
    await client.query('COMMIT');
  } catch (error) {
    const classified = classifyWriteError(error);
    if (!(classified instanceof CmdbUnavailable)) throw classified;
    const { message, resendAll } = classified;
    throw new CmdbUnavailable(message, { cause: error, resendAll, maybeCommitted: true });
  }
}

async function upsertHost(client: pg.Client, { host, at }: FlushBatch): Promise<boolean> {
  const { rows } = await client.query<{ first_seen: Date }>(UPSERT_HOST, [
    host.hostId,
    storableText(host.name),
    host.bootId,
    storableText(host.agentVersion),
    storableText(host.kernelRelease),
    at.toISOString(),
  ]);
  return rows[0]?.first_seen.getTime() === at.getTime();
}

/** What flows refer to, and coverage. */
async function upsertInventory(client: pg.Client, batch: FlushBatch): Promise<void> {
  const { hostId } = batch.host;
  const at = batch.at.toISOString();
  const upsert = async (
    sql: string,
    first: unknown[],
    columns: readonly (readonly unknown[])[],
  ) => {
    if (columns[0]?.length) await client.query(sql, [...first, ...columns]);
  };
  await upsert(UPSERT_HOST_ADDRESSES, [hostId], rows.addressColumns(batch));
  await upsert(UPSERT_CONTAINERS, [hostId, at], rows.containerColumns(batch));
  await upsert(UPSERT_PROCESSES, [hostId, at], rows.processColumns(batch));
  await upsert(UPSERT_PASSIVE_NODES, [hostId], rows.passiveNodeColumns(batch));
  await upsert(UPSERT_COVERAGE, [hostId, batch.epoch], rows.coverageColumns(batch));
}

async function upsertFlows(
  client: pg.Client,
  { host: { hostId }, epoch }: FlushBatch,
  flows: readonly FlowRecord[],
  unmarked: readonly string[],
): Promise<number> {
  if (flows.length === 0) return 0;
  await copyRows(client, COPY_FLOWS, rows.flowRows(hostId, flows));
  await client.query(UPSERT_FLOWS);
  const copied = await copyRows(client, COPY_HISTORY, rows.historyRows(hostId, epoch, flows));
  if (copied === 0) return 0;
  await client.query(UPSERT_HISTORY);
  if (unmarked.length > 0) await client.query(UPSERT_FLOW_DAYS, [unmarked]);
  await client.query(UPSERT_BUCKET_LENGTHS, [hostId, ...rows.bucketLengthColumns(flows)]);
  return copied;
}

/** Copies rows into a table; an error on either side ends the COPY on both. */
async function copyRows(
  client: pg.Client,
  sql: string,
  source: Iterable<readonly CopyValue[]>,
): Promise<number> {
  const copy = client.query(copyFrom(sql));
  await pipeline(Readable.from(copyChunks(source), { highWaterMark: 1 }), copy);
  return copy.rowCount;
}
