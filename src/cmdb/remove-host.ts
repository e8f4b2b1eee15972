import type pg from 'pg';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import { explained, transact } from './prune.ts';
import { SELECT_RELATIONS } from './statements/select-relations.ts';
import { SELECT_REMOVABLE_HOSTS } from './statements/select-removable-hosts.ts';

export interface RemovedHost {
  readonly hostId: string;
  readonly name: string;
  /** Rows of all tables. */
  readonly rows: number;
}

interface HostRow {
  readonly host_id: string;
  readonly name: string;
  readonly last_seen: Date;
  readonly is_reporting: boolean;
}

/** Agents report every few seconds, and after an outage of theirs or ours somewhat later. */
const REPORTING_MS = 10 * 60_000;

/**
 * Removes a host with all it wrote. What others saw of it stays: there it is an address again.
 * @param host its name as `ttctl hosts` shows it, or its id
 * @throws UserError: no when there is none, or it reported in the last minutes and `force` is not
 *   given; usage when several have that name; else as `pruneCmdb`
 */
export async function removeHost(
  client: pg.ClientBase,
  host: string,
  { now, force }: { readonly now: Date; readonly force: boolean },
): Promise<RemovedHost> {
  const { host_id: hostId, name } = await findHost(client, host, now, force);
  try {
    const { rows } = await client.query<{ name: string; sql_name: string; by_host: boolean }>(
      SELECT_RELATIONS,
    );
    const tables = rows.filter((table) => table.by_host && table.name !== 'hosts');
    let removed = 0;
    // The host itself last, so that what is left can be removed again should this be cut off.
    for (const { sql_name } of [...tables, { sql_name: 'hosts' }]) {
      const sql = `DELETE FROM ${sql_name} WHERE host_id = $1`;
      removed += (await transact(client, sql, [hostId])).rowCount ?? 0;
    }
    return { hostId, name, rows: removed };
  } catch (error) {
    throw explained(error);
  }
}

async function findHost(
  client: pg.ClientBase,
  host: string,
  now: Date,
  force: boolean,
): Promise<HostRow> {
  const recently = new Date(now.getTime() - REPORTING_MS);
  const { rows } = await client.query<HostRow>(SELECT_REMOVABLE_HOSTS, [host, recently]);
  const [found, ...others] = rows;
  if (found === undefined) {
    throw new UserError(ExitCode.no, `no host ${JSON.stringify(host)}; ttctl hosts lists them`);
  }
  if (others.length > 0) {
    const ids = rows.map(({ host_id }) => host_id).join(', ');
    throw new UserError(
      ExitCode.usage,
      `several hosts are called ${JSON.stringify(host)}: name one by its id: ${ids}`,
    );
  }
  if (found.is_reporting && !force) {
    throw new UserError(
      ExitCode.no,
      `host ${JSON.stringify(host)} reported at ${found.last_seen.toISOString()}, and its agent would ` +
        'write it again: stop ttracerd there and wait ten minutes, or give --force',
    );
  }
  return found;
}
