import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { CmdbWriter } from '../../src/cmdb/writer.ts';
import { hashId } from '../../src/flow/ids.ts';
import type { FlushBatch } from '../../src/flow/records.ts';
import { batch, bucket, flow, hostId, NOON } from '../../test/support/batches.ts';
import { silentLog, withClient } from '../../test/support/postgres.ts';
import { type Spread, spread } from '../statistics.ts';
import { BASELINE_SCHEMA, type BaselineFlow, writeAsOriginal } from './baseline.ts';
import type { BenchServer } from './server.ts';

export interface FlushCost {
  readonly workload: string;
  readonly condition: string;
  readonly rounds: number;
  /** Of this process and the server's processes. */
  readonly cpuMs: Spread | undefined;
  readonly elapsedMs: Spread | undefined;
  /** CPU of the original's statements by that of this condition, round by round. */
  readonly cpuRatio?: Spread | undefined;
}

const TICK_MS = 10;

/** CPU of this process, its children that have ended, and of one server backend, milliseconds. */
function cpuMs(backend: number): number {
  const ticks = (readFileSync(`/proc/${backend}/stat`, 'utf8').split(') ').at(-1) ?? '').split(' ');
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000 + (Number(ticks[11]) + Number(ticks[12])) * TICK_MS;
}

async function backendOf(client: pg.Client, applicationName: string): Promise<number> {
  const { rows } = await client.query<{ pid: number }>(
    'SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY backend_start DESC LIMIT 1',
    [applicationName],
  );
  return rows[0]?.pid ?? process.pid;
}

/** A flush of flows of one host; each round adds to their counts, every tenth is in a new bucket. */
export function flushOf(host: number, flows: number, round: number): FlushBatch {
  const bucketStart = new Date(NOON.getTime() + Math.floor(round / 10) * 300_000);
  return batch({
    host: { ...batch().host, hostId: hostId(host) },
    at: new Date(NOON.getTime() + round * 10_000),
    flows: Array.from({ length: flows }, (_, index) => {
      const edgeId = hashId('bench', host, index);
      return flow({
        flowId: hashId(edgeId, 'active'),
        edgeId,
        passiveAddress: `10.${1 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`,
        lastSeen: new Date(NOON.getTime() + round * 10_000),
        buckets: [bucket({ bucketStart, opened: round + 1 })],
      });
    }),
  });
}

function baselineOf(flows: number, round: number): BaselineFlow[] {
  return Array.from({ length: flows }, (_, index) => ({
    localAddress: '10.0.0.1',
    pgid: 100,
    process: 'nginx',
    peerAddress: `10.${1 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`,
    port: 80,
    connections: round + 1,
  }));
}

/** What a flush costs, by our writer and by the original's statements, in turn. */
export async function measureFlush(
  server: BenchServer,
  flows: number,
  rounds: number,
): Promise<FlushCost[]> {
  const ours = await server.createDatabase('flush_ours');
  const original = await server.createDatabase('flush_original', false);
  const writer = new CmdbWriter({ config: ours, log: silentLog });
  const taken = { ours: { cpu: [], ms: [] }, original: { cpu: [], ms: [] } } as Record<
    'ours' | 'original',
    { cpu: number[]; ms: number[] }
  >;
  await withClient(original, async (client) => {
    await client.query(BASELINE_SCHEMA);
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const originalPid = rows[0]?.pid ?? process.pid;
    await writer.write(flushOf(1, flows, 0));
    const oursPid = await backendOf(client, 'ttracerd');
    await writeAsOriginal(client, baselineOf(flows, 0));
    const measure = async (
      into: { cpu: number[]; ms: number[] },
      pid: number,
      work: () => Promise<unknown>,
    ): Promise<void> => {
      const [startMs, startCpu] = [performance.now(), cpuMs(pid)];
      await work();
      into.ms.push(performance.now() - startMs);
      into.cpu.push(cpuMs(pid) - startCpu);
    };
    for (let round = 1; round <= rounds; round += 1) {
      const batchOfRound = flushOf(1, flows, round);
      const baseline = baselineOf(flows, round);
      await measure(taken.ours, oursPid, () => writer.write(batchOfRound));
      await measure(taken.original, originalPid, () => writeAsOriginal(client, baseline));
    }
  });
  await writer.close();
  const ratios = taken.ours.cpu.map((cpu, index) => (taken.original.cpu[index] ?? 0) / cpu);
  const workload = `flush of ${flows} flows, steady`;
  const row = (condition: 'ours' | 'original'): FlushCost => ({
    workload,
    condition,
    rounds,
    cpuMs: spread(taken[condition].cpu),
    elapsedMs: spread(taken[condition].ms),
  });
  return [{ ...row('ours'), cpuRatio: spread(ratios) }, row('original')];
}

/** How many flows a second one server takes from several agents that flush at once. */
export async function measureIngest(
  server: BenchServer,
  rounds: number,
): Promise<Record<string, unknown>> {
  const [agents, flows] = [4, 5_000];
  const config = await server.createDatabase('ingest');
  const writers = Array.from({ length: agents }, () => new CmdbWriter({ config, log: silentLog }));
  const perSecond: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const batches = writers.map((_, agent) => flushOf(agent + 1, flows, round));
    const startMs = performance.now();
    await Promise.all(batches.map((one, agent) => writers[agent]?.write(one)));
    if (round > 0) perSecond.push((agents * flows * 1_000) / (performance.now() - startMs));
  }
  await Promise.all(writers.map((writer) => writer.close()));
  const workload = `ingest from ${agents} agents of ${flows} flows`;
  return { workload, condition: 'ours', rounds, flowsPerSecond: spread(perSecond) };
}
