import type pino from 'pino';
import { resolveCmdb } from '../cmdb/location.ts';
import { FlowTable } from '../flow/flow-table.ts';
import { Attributor } from '../process/attributor.ts';
import { ProcessNamer } from '../process/namer.ts';
import { Agent } from './agent.ts';
import { openSink } from './cmdb-sink.ts';
import { CoverageTracker } from './coverage-tracker.ts';
import { takeDataDir } from './data-dir.ts';
import { explainFailure, superviseHelper } from './helper.ts';
import { describeHost, hostAddresses } from './host.ts';
import { Inventory } from './inventory.ts';
import { JsonlOutput } from './jsonl-output.ts';
import { Ledger } from './ledger.ts';
import { collectMetrics, healthOf } from './metrics.ts';
import { serveMetrics } from './metrics-server.ts';
import { OpenConnectionsFile } from './open-connections.ts';
import type { AgentOptions } from './options.ts';
import { checkPrivileges } from './privileges.ts';
import { Spool } from './spool.ts';
import { Tracer } from './tracer.ts';

export interface RunContext {
  readonly options: AgentOptions;
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: NodeJS.WriteStream;
  readonly log: pino.Logger;
  readonly version: string;
  /** Aborted when the agent is to stop. */
  readonly stop: AbortSignal;
  /** Calls back with new options when the configuration was read again. */
  readonly onReload: (changed: (options: AgentOptions) => void) => void;
}

const RETAIN_PROCESSES_MS = 30_000;
const REFRESH_INVENTORY_MS = 60_000;

/**
 * The whole agent: kernel -> helper -> frames -> events -> process names -> flow table -> CMDB.
 * Resolves when it was stopped or, with `--once`, is done.
 * @throws UserError when it can't run here
 */
export async function runAgent(context: RunContext): Promise<void> {
  const { options, env, log } = context;
  const location = resolveCmdb({ cmdb: options.cmdb, env, dataDir: options.dataDir });
  const warning = checkPrivileges(options);
  if (warning !== null) log.warn(warning);
  const lock = takeDataDir(options.dataDir);
  try {
    const host = describeHost({ ...options, agentVersion: context.version });
    const supervisor = superviseHelper(options, env, (line) =>
      log.info({ helper: line }, 'helper'),
    );
    const namer = new ProcessNamer({
      procRoot: '/proc',
      hostId: host.hostId,
      now: () => performance.now(),
      retainMs: RETAIN_PROCESSES_MS,
    });
    const attributor = new Attributor(namer);
    const table = new FlowTable({ hostId: host.hostId, bucketMs: options.bucketMs });
    const inventory = new Inventory({
      addresses: hostAddresses,
      listening: () => attributor.listeners.listening(),
      netnsName: (netns) => table.netnsName(netns),
      refreshMs: REFRESH_INVENTORY_MS,
    });
    const coverage = new CoverageTracker();
    const ledger = new Ledger({ host, epoch: Date.now(), table, inventory, coverage });
    const output = options.output === 'jsonl' ? new JsonlOutput(context.stdout, host.hostId) : null;
    const openConnections = new OpenConnectionsFile(options.dataDir, host.bootId);
    const spool = new Spool(options.dataDir, log);
    table.restore(openConnections.load());
    const sink = await openSink(location, log);
    const parts = { supervisor, namer, table, ledger, sink, spool, openConnections, output, log };
    const agent = new Agent(parts, options, options.once);
    const tracer = new Tracer(
      { supervisor, attributor, table, inventory, coverage, output, log },
      options.once ? 'once' : 'continuous',
      agent,
    );
    const sources = { agent, supervisor, table, attributor, namer, ...options };
    await runUntilStopped(
      context,
      agent,
      tracer,
      () => supervisor.start(),
      async () => {
        if (options.listen === null) return;
        await serveMetrics(
          options.listen,
          () => collectMetrics(sources),
          () => healthOf(sources),
        );
      },
    );
  } finally {
    lock.release();
  }
}

async function runUntilStopped(
  { options, log, stop, onReload }: RunContext,
  agent: Agent,
  tracer: Tracer,
  startHelper: () => void,
  serve: () => Promise<void>,
): Promise<void> {
  const stopped = new Promise<void>((resolve) => {
    if (stop.aborted) resolve();
    stop.addEventListener('abort', () => resolve(), { once: true });
  });
  let tracing: Promise<void> = Promise.resolve();
  try {
    await serve();
    startHelper();
    tracing = tracer.run();
    onReload((changed) => agent.changeIntervals(changed));
    await Promise.race([tracing, agent.start(), stopped]);
    if (stop.aborted) log.info('stopping');
  } catch (error) {
    throw explainFailure(error, options);
  } finally {
    await agent.stop(tracing);
  }
}
