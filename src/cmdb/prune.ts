import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import { describeError, sqlState } from './errors.ts';
import { BEGIN_PRUNE } from './statements/begin-prune.ts';
import { DELETE_BUCKET_LENGTHS } from './statements/delete-bucket-lengths.ts';
import { DELETE_CONTAINERS } from './statements/delete-containers.ts';
import { DELETE_COVERAGE } from './statements/delete-coverage.ts';
import { DELETE_FLOWS } from './statements/delete-flows.ts';
import { DELETE_HOST_ADDRESSES } from './statements/delete-host-addresses.ts';
import { DELETE_HOSTS } from './statements/delete-hosts.ts';
import { DELETE_PASSIVE_NODES } from './statements/delete-passive-nodes.ts';
import { DELETE_PROCESSES } from './statements/delete-processes.ts';
import { SELECT_HISTORY_PARTITIONS } from './statements/select-history-partitions.ts';

/** What was removed. */
export interface Pruned {
  /** Days of history. */
  readonly days: number;
  readonly flows: number;
  readonly passiveNodes: number;
  readonly processes: number;
  readonly containers: number;
  readonly addresses: number;
  readonly coverage: number;
  readonly hosts: number;
}

/** Lock not available in time; deadlock detected: an agent was in the way. */
const IN_THE_WAY: readonly (string | undefined)[] = ['55P03', '40P01'];
const INSUFFICIENT_PRIVILEGE = '42501';
const ATTEMPTS = 5;
const RETRY_MS = 500;

/**
 * Removes what is older than a time: days of history that ended before it, and what was last seen
 * before it. Each step is a transaction of its own, so agents wait for seconds at most, and what
 * they write meanwhile stays.
 * @throws UserError: unsupported when the role may not, cmdbUnreachable when agents stay in the way
 */
export async function pruneCmdb(client: pg.ClientBase, limit: Date): Promise<Pruned> {
  try {
    const days = await dropHistory(client, limit);
    const remove = (sql: string): Promise<number> => inTransaction(client, sql, [limit]);
    await remove(DELETE_BUCKET_LENGTHS);
    return {
      days,
      flows: await remove(DELETE_FLOWS),
      passiveNodes: await remove(DELETE_PASSIVE_NODES),
      processes: await remove(DELETE_PROCESSES),
      containers: await remove(DELETE_CONTAINERS),
      addresses: await remove(DELETE_HOST_ADDRESSES),
      coverage: await remove(DELETE_COVERAGE),
      hosts: await remove(DELETE_HOSTS),
    };
  } catch (error) {
    throw explained(error);
  }
}

async function dropHistory(client: pg.ClientBase, limit: Date): Promise<number> {
  const { rows } = await client.query<{ relname: string; table_name: string }>(
    SELECT_HISTORY_PARTITIONS,
  );
  const old = rows.filter(({ relname }) => {
    const end = endOfPartition(relname);
    return end !== null && end <= limit;
  });
  for (const { table_name } of old)
    await inTransaction(client, `DROP TABLE IF EXISTS ${table_name}`);
  return old.filter(({ relname }) => relname.startsWith('flow_history_')).length;
}

/** The end of the day that a partition holds, in UTC; null for a table that is none of ours. */
export function endOfPartition(name: string): Date | null {
  const [, year, month, day] = /^flow_(?:history|days)_(\d{4})(\d{2})(\d{2})$/.exec(name) ?? [];
  if (year === undefined) return null;
  const end = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day) + 1));
  return Number.isNaN(end.getTime()) ? null : end;
}

/** @returns how many rows it removed */
async function inTransaction(
  client: pg.ClientBase,
  sql: string,
  values: readonly unknown[] = [],
): Promise<number> {
  return (await transact(client, sql, values)).rowCount ?? 0;
}

/** Runs a statement of upkeep in a transaction; again, if an agent was in the way. */
export async function transact<R extends pg.QueryResultRow>(
  client: pg.ClientBase,
  sql: string,
  values: readonly unknown[] = [],
): Promise<pg.QueryResult<R>> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await client.query(BEGIN_PRUNE);
      const result = await client.query<R>(sql, [...values]);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      if (sqlState(error) !== undefined) await client.query('ROLLBACK');
      if (attempt === ATTEMPTS || !IN_THE_WAY.includes(sqlState(error))) throw error;
      await sleep(RETRY_MS * attempt);
    }
  }
}

/** What people are told of an error in upkeep. */
export function explained(error: unknown): unknown {
  const state = sqlState(error);
  if (state === undefined) return error;
  if (state === INSUFFICIENT_PRIVILEGE) {
    return new UserError(
      ExitCode.unsupported,
      `may not remove anything from the CMDB (${describeError(error)}): connect as its owner`,
      { cause: error },
    );
  }
  const hint = IN_THE_WAY.includes(state) ? '; the CMDB is busy: try again' : '';
  return new UserError(
    ExitCode.cmdbUnreachable,
    `the CMDB could not be pruned: ${describeError(error)} (SQLSTATE ${state})${hint}`,
    { cause: error },
  );
}
