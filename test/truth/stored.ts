import type pg from 'pg';
import type { StoredFlow } from './judge.ts';
import type { Side } from './truth-log.ts';

/** What a tracer left, as far as it is judged. */
export interface Stored {
  readonly flows: readonly StoredFlow[];
  /** Events and program executions that it knows it missed. */
  readonly lost: number;
}

const SELECT_FLOWS = `
  SELECT CASE f.side WHEN 'A' THEN 'active' ELSE 'passive' END AS side,
         p.name, nullif(p.exe, '') AS exe, host(f.active_address) AS active_address,
         host(f.passive_address) AS passive_address, f.passive_port, f.scope, f.found_by,
         sum(h.opened)::int AS opened, sum(h.failed_refused)::int AS refused,
         sum(h.failed_timed_out)::int AS timed_out,
         sum(h.failed_unreachable)::int AS unreachable, sum(h.failed_other)::int AS other,
         (array_agg(h.open_now ORDER BY h.bucket DESC))[1] AS open
  FROM flows f
  JOIN flow_history h USING (host_id, flow_id)
  LEFT JOIN processes p USING (host_id, process_id)
  GROUP BY f.host_id, f.flow_id, p.name, p.exe`;

const SELECT_LOST = `SELECT coalesce(sum(lost + missed_probes), 0)::int AS lost FROM coverage`;

interface FlowRow {
  readonly side: Side;
  readonly name: string | null;
  readonly exe: string | null;
  readonly active_address: string;
  readonly passive_address: string;
  readonly passive_port: number;
  readonly scope: string;
  readonly found_by: number;
  readonly opened: number;
  readonly refused: number;
  readonly timed_out: number;
  readonly unreachable: number;
  readonly other: number;
  readonly open: number;
}

const FOUND_BY = ['stream', 'snapshot', 'destroy'];

/** Reads everything a CMDB has. */
export async function readCmdb(client: pg.Client): Promise<Stored> {
  const flows = await client.query<FlowRow>(SELECT_FLOWS);
  const [losses] = (await client.query<{ lost: number }>(SELECT_LOST)).rows;
  return { flows: flows.rows.map(flowOfRow), lost: losses?.lost ?? 0 };
}

function flowOfRow(row: FlowRow): StoredFlow {
  return {
    side: row.side,
    process: row.name,
    exe: row.exe,
    activeAddress: row.active_address,
    passiveAddress: row.passive_address,
    passivePort: row.passive_port,
    netns: netnsOf(row.scope),
    counts: {
      opened: row.opened,
      refused: row.refused,
      timedOut: row.timed_out,
      unreachable: row.unreachable,
      other: row.other,
    },
    open: row.open,
    foundBy: FOUND_BY.filter((_, bit) => row.found_by & (1 << bit)),
  };
}

/** A line of `ttracerd --output jsonl`. */
interface FlowLine {
  readonly event: string;
  readonly direction: Side;
  readonly process: string | null;
  readonly exe: string | null;
  readonly active: string | null;
  readonly passive: string | null;
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly passivePort: number;
  readonly scope: string;
  readonly connections: number;
  readonly failures: Omit<StoredFlow['counts'], 'opened'>;
  readonly open: number;
  readonly foundBy: readonly string[];
}

/** The same from what an agent without a CMDB printed: totals, the latest line of a flow counts. */
export function readJsonl(
  stdout: string,
  log: readonly Readonly<Record<string, unknown>>[],
): Stored {
  const latest = new Map<string, FlowLine>();
  for (const text of stdout.split('\n')) {
    if (text === '') continue;
    const line = JSON.parse(text) as FlowLine;
    if (line.event !== 'flow') continue;
    const { direction, active, passive, activeAddress, passiveAddress, passivePort, scope } = line;
    const key = [direction, active, passive, activeAddress, passiveAddress, passivePort, scope];
    latest.set(key.join(' '), line);
  }
  const lost = log
    .filter(({ msg }) => msg === 'events were lost')
    .reduce((sum, line) => sum + Number(line['lost']) + Number(line['missedProbes']), 0);
  return { flows: [...latest.values()].map(flowOfLine), lost };
}

function flowOfLine(line: FlowLine): StoredFlow {
  return {
    ...line,
    side: line.direction,
    exe: line.exe || null,
    netns: netnsOf(line.scope),
    counts: { opened: line.connections, ...line.failures },
  };
}

/** The namespace in a scope of src/flow/scope.ts. */
function netnsOf(scope: string): number | null {
  const inode = /\/net:(\d+)$/.exec(scope)?.[1];
  return inode === undefined ? null : Number(inode);
}
