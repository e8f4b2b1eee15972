import type { HelperSupervisor } from '../bpf-ts-loader/index.ts';
import type { Losses } from '../events/event.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { Attributor } from '../process/attributor.ts';
import type { ProcessNamer } from '../process/namer.ts';
import type { Agent } from './agent.ts';
import type { CoverageTracker } from './coverage-tracker.ts';
import type { Ledger } from './ledger.ts';
import type { Health, Metric } from './metrics-server.ts';
import { heartbeatMs } from './schedule.ts';
import type { Spool } from './spool.ts';

export interface MetricSources {
  readonly agent: Pick<Agent, 'lastReport' | 'watchingNow' | 'lastWriteMs' | 'outage'>;
  readonly supervisor: Pick<HelperSupervisor, 'restarts'>;
  readonly table: Pick<FlowTable, 'size' | 'overflowed' | 'unknownDirection' | 'waiting'>;
  readonly attributor: Pick<Attributor, 'unattributed'>;
  readonly namer: Pick<ProcessNamer, 'stats'>;
  readonly coverage: Pick<CoverageTracker, 'dropped'>;
  readonly ledger: Pick<Ledger, 'droppedBuckets' | 'coarsenedBuckets' | 'rejectedFlows'>;
  /** null where nobody keeps what is traced. */
  readonly remains: { readonly spool: Pick<Spool, 'lost'> } | null;
}

const LOSSES: Readonly<Record<keyof Losses, string>> = {
  ringLost: 'Announcements that found the ring buffer full.',
  flowsFull: 'Counts that found the kernel flow map full.',
  socketsFull: 'Sockets that found the kernel socket map full.',
  missedProbes: 'Hook executions that the kernel skipped.',
  noticesLost: 'Overruns of the destroy-notice buffer, and notices without their port.',
  vanished: 'Processes that went away while they were looked at.',
  namespacesFailed: 'Network namespaces that could not be entered.',
};

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function counter(name: string, help: string, value: number | bigint): Metric {
  return { name: `ttracer_${name}_total`, type: 'counter', help, value };
}

function gauge(name: string, help: string, value: number): Metric {
  return { name: `ttracer_${name}`, type: 'gauge', help, value };
}

export function collectMetrics(sources: MetricSources): Metric[] {
  const { agent, supervisor, table, attributor, namer, coverage } = sources;
  const losses = agent.lastReport?.losses;
  const watching = agent.watchingNow;
  return [
    {
      name: 'ttracer_watching',
      type: 'gauge',
      help: 'Whether sockets are watched, and how.',
      value: watching === null ? 0 : 1,
      labels: { mode: watching?.mode ?? 'none', attach: watching?.attach ?? 'none' },
    },
    gauge('flows', 'Flows in the table.', table.size),
    gauge('processes_cached', 'Processes whose names are cached.', namer.stats.cached),
    gauge('sockets', 'Sockets that the last snapshot looked at.', agent.lastReport?.sockets ?? 0),
    gauge(
      'last_write_seconds',
      'When the CMDB last took a flush.',
      (agent.lastWriteMs ?? 0) / 1000,
    ),
    ...outageMetrics(sources),
    counter('helper_restarts', 'Times the helper was replaced.', supervisor.restarts),
    counter(
      'unattributed',
      'Reports of flows whose process is not known.',
      attributor.unattributed,
    ),
    counter('flows_overflowed', 'Reports that found the flow table full.', table.overflowed),
    counter('direction_unknown', 'Connections of unknown direction.', table.unknownDirection),
    counter(
      'coverage_dropped',
      'Coverage intervals given up because the CMDB was away too long.',
      coverage.dropped,
    ),
    ...(Object.keys(LOSSES) as (keyof Losses)[]).map((name) =>
      counter(snakeCase(name), LOSSES[name], losses?.[name] ?? 0n),
    ),
  ];
}

/** Whether the CMDB takes what it is given, and what waits or was lost because it did not. */
function outageMetrics({ agent, table, ledger, remains }: MetricSources): Metric[] {
  const { outage } = agent;
  return [
    {
      name: 'ttracer_cmdb_up',
      type: 'gauge',
      help: 'Whether the CMDB took the latest flush, and if not, why.',
      value: outage === null ? 1 : 0,
      labels: { reason: outage?.kind ?? 'none' },
    },
    gauge('waiting_buckets', 'Buckets of flows that wait to be written.', table.waiting),
    counter(
      'buckets_coarsened',
      'Buckets merged into longer ones because the CMDB was away long.',
      ledger.coarsenedBuckets,
    ),
    counter(
      'buckets_dropped',
      'Flow history given up because the CMDB was away too long.',
      ledger.droppedBuckets,
    ),
    counter('flows_rejected', 'Flows in batches that the CMDB refused.', ledger.rejectedFlows),
    counter('spool_lost', 'Spooled files that were given up.', remains?.spool.lost ?? 0),
  ];
}

/** Healthy: sockets are watched and the CMDB took a flush lately. */
export function healthOf(
  agent: Pick<Agent, 'watchingNow' | 'lastWriteMs' | 'flushIntervalMs' | 'outage'>,
  nowMs: number,
): Health {
  const { watchingNow, lastWriteMs, flushIntervalMs } = agent;
  if (watchingNow === null) return { ok: false, text: 'not watching: there is no helper' };
  const why = agent.outage === null ? '' : ` (${agent.outage.kind}: ${agent.outage.reason})`;
  if (lastWriteMs === null) return { ok: false, text: `the CMDB has not taken a flush yet${why}` };
  const ageMs = nowMs - lastWriteMs;
  const isLate = ageMs > heartbeatMs(flushIntervalMs) + 2 * flushIntervalMs + 10_000;
  return isLate
    ? { ok: false, text: `the CMDB took no flush for ${Math.round(ageMs / 1000)} s${why}` }
    : { ok: true, text: 'ok' };
}
