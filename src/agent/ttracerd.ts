import type pino from 'pino';
import { type CmdbLocation, resolveCmdb } from '../cmdb/location.ts';
import { FlowTable } from '../flow/flow-table.ts';
import { Attributor } from '../process/attributor.ts';
import { ProcessNamer } from '../process/namer.ts';
import { Agent } from './agent.ts';
import { type Destination, openSink } from './cmdb-sink.ts';
import { CoverageTracker } from './coverage-tracker.ts';
import { takeDataDir } from './data-dir.ts';
import { Flusher, type Remains } from './flusher.ts';
import { explainFailure, superviseHelper } from './helper.ts';
import { describeHost } from './host.ts';
import { HostNetworks } from './host-networks.ts';
import { Inventory } from './inventory.ts';
import { JsonlOutput } from './jsonl-output.ts';
import { Ledger } from './ledger.ts';
import { Mark } from './mark.ts';
import { collectMetrics, healthOf } from './metrics.ts';
import { serveMetrics } from './metrics-server.ts';
import { OpenConnectionsFile, type Position } from './open-connections.ts';
import type { AgentOptions } from './options.ts';
import { takePinDir } from './pins.ts';
import { checkPrivileges } from './privileges.ts';
import { Retention } from './retention.ts';
import { type Predecessor, Spool } from './spool.ts';
import { Tracer } from './tracer.ts';
import { within } from './within.ts';

export interface RunContext {
  readonly options: AgentOptions;
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: NodeJS.WritableStream;
  readonly log: pino.Logger;
  readonly version: string;
  /** Aborted when the agent is to stop. */
  readonly stop: AbortSignal;
  /** Calls back with new options when the configuration was read again. */
  readonly onReload: (changed: (options: AgentOptions) => void) => void;
}

const RETAIN_PROCESSES_MS = 30_000;
const REFRESH_INVENTORY_MS = 60_000;
/** How long an embedded CMDB that is stopped while it starts may take; then it ends with us. */
const STOP_STARTING_MS = 4_500;

/**
 * The whole agent: kernel -> helper -> frames -> events -> process names -> flow table -> CMDB.
 * Resolves when it was stopped or, with `--once`, is done.
 * @throws UserError when it can't run here
 */
export async function runAgent(context: RunContext): Promise<void> {
  const { options, env, log, stop } = context;
  const location = resolveCmdb({ cmdb: options.cmdb, env, dataDir: options.dataDir });
  const warning = checkPrivileges(options);
  if (warning !== null) log.warn(warning);
  const lock = takeDataDir(options.dataDir);
  try {
    const parts = assemble(context, location);
    const destination = await openUnlessStopped(location, log, stop);
    if (destination !== null) await trace(context, { ...parts, ...destination });
  } finally {
    lock.release();
  }
}

type Parts = ReturnType<typeof assemble> & Destination;

/** Makes all parts that hold what is traced; nothing runs yet. */
function assemble({ options, env, log, version, stdout }: RunContext, location: CmdbLocation) {
  const host = describeHost({ ...options, agentVersion: version });
  const pinDir = location.kind === 'none' ? null : takePinDir(options, host.hostId, log);
  const supervisor = superviseHelper(options, pinDir, env, (line) =>
    log.info({ helper: line }, 'helper'),
  );
  const namer = new ProcessNamer({
    procRoot: '/proc',
    hostId: host.hostId,
    now: () => performance.now(),
    retainMs: RETAIN_PROCESSES_MS,
  });
  const attributor = new Attributor(namer);
  const openConnections = new OpenConnectionsFile(options.dataDir, host.bootId, log);
  const spool = new Spool(options.dataDir, log);
  const remains = location.kind === 'none' ? null : { openConnections, spool };
  const before = remains === null ? null : spool.latest();
  // Later than any before it, also when the clock was set back.
  const epoch = Math.max(Date.now(), (before?.epoch ?? 0) + 1);
  const networks = new HostNetworks({ ...options, procRoot: '/proc', sysRoot: '/sys' });
  const { hostId } = host;
  const table = new FlowTable({ hostId, bucketMs: options.bucketMs, networks, epoch });
  const mark = new Mark(remains === null ? null : restoreOpen(table, remains, before));
  const inventory = new Inventory({
    addresses: networks,
    listening: () => attributor.listeners.listening(),
    netnsName: (netns) => table.netnsName(netns),
    refreshMs: REFRESH_INVENTORY_MS,
  });
  const coverage = new CoverageTracker();
  const ledger = new Ledger({ host, epoch, table, inventory, coverage });
  const output = options.output === 'jsonl' ? new JsonlOutput(stdout, host.hostId) : null;
  return {
    host,
    mark,
    supervisor,
    namer,
    attributor,
    table,
    inventory,
    coverage,
    ledger,
    output,
    remains,
  };
}

/**
 * Tells the table which connections earlier agents counted. Of the spool and the file the spool is
 * newer; what it says must still be known when it has been written and is gone.
 * @returns up to where the kernel's counts are in theirs
 */
function restoreOpen(
  table: FlowTable,
  remains: Remains,
  before: Predecessor | null,
): Position | null {
  const { openConnections, spool } = remains;
  spool.trim();
  const { open, position } =
    before === null ? openConnections.load() : openConnections.ofThisBoot(before);
  table.restore(open);
  if (before !== null) openConnections.save(open, position);
  return position;
}

/** @returns null when the agent was stopped meanwhile; then the CMDB has stopped or ends with us */
async function openUnlessStopped(
  location: CmdbLocation,
  log: pino.Logger,
  stop: AbortSignal,
): Promise<Destination | null> {
  const opening = openSink(location, log);
  const opened = await Promise.race([opening, aborted(stop).then(() => null)]);
  if (opened !== null) return opened;
  log.info('stopping before the CMDB is up');
  const stopped = opening.then((late) => late.sink.stop());
  await within(STOP_STARTING_MS, stopped).catch((error: unknown) => {
    log.debug({ err: error }, 'the CMDB would not have come up');
  });
  return null;
}

/** Runs until stopped, until the helper failed for good or, with `--once`, until done. */
async function trace({ options, log, stop, onReload }: RunContext, parts: Parts): Promise<void> {
  const { supervisor } = parts;
  const flusher = new Flusher(parts);
  const agent = new Agent({ ...parts, flusher, log }, options);
  const tracer = new Tracer({ ...parts, log }, options.once ? 'once' : 'continuous', agent);
  const sources = { ...parts, agent };
  const retention = retentionOf(options, parts, log);
  let tracing: Promise<void> = Promise.resolve();
  let closeServer = (): void => undefined;
  try {
    if (options.listen !== null) {
      const health = () => healthOf(agent, Date.now());
      closeServer = await serveMetrics(options.listen, () => collectMetrics(sources), health);
    }
    supervisor.start();
    retention?.start();
    tracing = tracer.run();
    onReload((changed) => agent.changeIntervals(changed));
    await Promise.race([tracing, agent.start(), aborted(stop)]);
    if (stop.aborted) log.info('stopping');
  } catch (error) {
    throw explainFailure(error, options);
  } finally {
    closeServer();
    retention?.stop();
    await agent.stop(tracing);
  }
}

/** What removes old data, where there is a CMDB to remove it from. */
function retentionOf(
  { retentionMs, once }: AgentOptions,
  { config, host: { hostId } }: Parts,
  log: pino.Logger,
): Retention | null {
  if (retentionMs === null || config === null || once) return null;
  return new Retention({ config, hostId, retentionMs, log });
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
