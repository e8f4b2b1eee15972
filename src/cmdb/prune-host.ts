import type pg from 'pg';
import { endOfPartition, transact } from './prune.ts';
import { PRUNE_HOST } from './statements/prune-host.ts';
import { PRUNE_HOST_HISTORY } from './statements/prune-host-history.ts';
import { SELECT_HISTORY_PARTITIONS } from './statements/select-history-partitions.ts';

const DAY_MS = 86_400_000;

/**
 * Removes what one host wrote before a time: days of history that ended before it, and what the host
 * last saw before it. What others wrote stays, and so do partitions. A transaction each.
 * @param done days that have been removed before; those of this call are added
 * @returns how many rows
 */
export async function pruneHost(
  client: pg.ClientBase,
  hostId: string,
  limit: Date,
  done: Set<string>,
): Promise<number> {
  const removed = async (sql: string, until: string): Promise<number> => {
    const { rows } = await transact<{ removed: string }>(client, sql, [hostId, until]);
    return Number(rows[0]?.removed ?? 0);
  };
  let total = 0;
  for (const day of await endedDays(client, limit)) {
    if (done.has(day)) continue;
    total += await removed(PRUNE_HOST_HISTORY, day);
    done.add(day);
  }
  return total + (await removed(PRUNE_HOST, limit.toISOString()));
}

/** UTC days (`YYYY-MM-DD`) that have a partition and ended by `limit`. */
async function endedDays(client: pg.ClientBase, limit: Date): Promise<string[]> {
  const { rows } = await client.query<{ relname: string }>(SELECT_HISTORY_PARTITIONS);
  return rows.flatMap(({ relname }) => {
    const end = endOfPartition(relname);
    if (end === null || end > limit) return [];
    return [new Date(end.getTime() - DAY_MS).toISOString().slice(0, 10)];
  });
}
