import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EndToEndLine, Rung } from './lines.ts';
import { runProgram } from './run-program.ts';

const CONNECTIONS = 20;
const FLUSH_MS = 1_000;
const READY_TIMEOUT_MS = 60_000;
const FLOWS_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 10_000;
const LOG_LINES_SHOWN = 15;

/** The fields of `ttracerd --output jsonl` that are looked at here. */
interface FlowLine {
  readonly event: string;
  readonly direction: 'active' | 'passive';
  readonly process: string | null;
  readonly pid: number | null;
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly passivePort: number;
  readonly connections: number | string;
}

/** The agent while it runs, and all that it has printed so far. */
interface Agent {
  readonly child: ChildProcess;
  readonly flows: FlowLine[];
  readonly log: string[];
}

/**
 * Starts the agent on one rung, has curl make {@link CONNECTIONS} connections to a server in this
 * process, and compares the flows that the agent prints with them.
 */
export async function endToEnd(rung: Rung): Promise<EndToEndLine> {
  const started = Date.now();
  const server = createServer((_request, response) => response.end('ok\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const agent = startAgent(rung);
  const faults = await observe(agent, server, rung);
  faults.push(...(await stopAgent(agent)));
  server.close();
  const shown = [...faults, ...agent.log.slice(-LOG_LINES_SHOWN)];
  return {
    kind: 'end-to-end',
    rung,
    passed: faults.length === 0,
    detail: faults.length === 0 ? '' : shown.join('\n'),
    elapsedMs: Date.now() - started,
  };
}

function startAgent(rung: Rung): Agent {
  const how = rung === 'poll' ? ['--mode', 'poll'] : ['--mode', 'stream', '--attach', rung];
  const common = ['--cmdb', 'none', '--output', 'jsonl', '--flush-interval', `${FLUSH_MS}ms`];
  const args = ['bin/ttracerd', ...how, ...common, '--data-dir', `/tmp/ttracerd-${rung}`];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const agent: Agent = { child, flows: [], log: [] };
  createInterface({ input: child.stderr }).on('line', (line) => agent.log.push(line));
  createInterface({ input: child.stdout }).on('line', (line) => {
    try {
      const flow = JSON.parse(line) as FlowLine;
      if (flow.event === 'flow') agent.flows.push(flow);
    } catch (error) {
      agent.log.push(`stdout, not JSON (${String(error)}): ${line}`);
    }
  });
  return agent;
}

/** @returns what is wrong with the agent's flows, nothing when all is as it should be */
async function observe(agent: Agent, server: Server, rung: Rung): Promise<string[]> {
  const isReady = () => agent.log.some((line) => line.includes('"msg":"ready"'));
  await until(() => isReady() || agent.child.exitCode !== null, READY_TIMEOUT_MS);
  if (!isReady()) return [`not ready within ${READY_TIMEOUT_MS} ms`];
  const readyLine = agent.log.find((line) => line.includes('"msg":"ready"')) ?? '';

  const { port } = server.address() as AddressInfo;
  for (let made = 0; made < CONNECTIONS; made += 1) {
    const curl = await runProgram('curl', ['-sS', `http://127.0.0.1:${port}/`], 10_000);
    if (curl.stdout !== 'ok\n') return [`curl failed (${curl.end}): ${curl.stderr}`];
  }
  await until(() => judge(agent.flows, port, rung).length === 0, FLOWS_TIMEOUT_MS);
  await sleep(FLUSH_MS + 500); // one more flush: a connection counted twice may come late
  return [...judgeReady(readyLine, rung), ...judge(agent.flows, port, rung)];
}

/** The agent must be on the rung that was asked for, not on a lower one. */
function judgeReady(readyLine: string, rung: Rung): string[] {
  const wanted = rung === 'poll' ? '"mode":"poll"' : `"attach":"${rung}"`;
  return readyLine.includes(wanted) ? [] : [`ready without ${wanted}: ${readyLine}`];
}

/**
 * Both ends of the connections must have been counted: 20 made by curl, 20 accepted by this
 * process. Polling may find a curl gone before it could be named, so there only the count matters.
 */
function judge(flows: readonly FlowLine[], port: number, rung: Rung): string[] {
  const latest = new Map<string, FlowLine>();
  for (const flow of flows.filter(({ passivePort }) => passivePort === port)) {
    // Not by pid: all curls are one process to the agent, under the pid of the latest.
    const { direction, process: name, activeAddress, passiveAddress } = flow;
    latest.set(`${direction} ${name} ${activeAddress} ${passiveAddress}`, flow);
  }
  const ends = [...latest.values()];
  const active = ends.filter(
    ({ direction, process: name }) =>
      direction === 'active' && (rung === 'poll' || name === 'curl'),
  );
  const passive = ends.filter(
    ({ direction, pid }) => direction === 'passive' && pid === process.pid,
  );
  const faults: string[] = [];
  for (const [end, found] of Object.entries({ active, passive })) {
    const total = found.reduce((sum, { connections }) => sum + Number(connections), 0);
    if (total !== CONNECTIONS) {
      faults.push(
        `${end}: ${total} connections, not ${CONNECTIONS}; flows: ${JSON.stringify(ends)}`,
      );
    }
  }
  return faults;
}

/** SIGTERM; an agent that does not end is killed, and that is a fault. */
async function stopAgent({ child }: Agent): Promise<string[]> {
  if (child.exitCode !== null || child.signalCode !== null) {
    return [`agent ended by itself: ${child.signalCode ?? `exit ${child.exitCode}`}`];
  }
  child.kill('SIGTERM');
  await until(() => child.exitCode !== null || child.signalCode !== null, STOP_TIMEOUT_MS);
  if (child.exitCode === 0) return [];
  const end = child.signalCode ?? child.exitCode;
  child.kill('SIGKILL');
  return [`SIGTERM: ended with ${end ?? `nothing within ${STOP_TIMEOUT_MS} ms`}`];
}

/** Waits until `condition` holds, `timeoutMs` at most. */
async function until(condition: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition() && Date.now() < deadline) {
    await sleep(100);
  }
}
