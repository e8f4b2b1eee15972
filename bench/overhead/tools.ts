import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../../test/support/postgres.ts';
import { eventually } from '../../test/support/processes.ts';
import { ENDS_WITH_US, runOk } from '../../test/support/run.ts';
import { type Condition, end, type RunningTracer, type Setting } from './tracer.ts';
import { SERVER_PORT, type World } from './world.ts';

/** A tool that prints what it sees, a line a sighting. */
interface Tool {
  readonly name: string;
  readonly needs: readonly string[];
  readonly argv: readonly string[];
  /** What has to be set up on the traced host first. */
  readonly prepare?: (world: World, side: 'server' | 'client') => Promise<void>;
  /** Sightings repeat: a poller shows a connection each time. Key of one, or undefined. */
  readonly connectionOf: (line: string) => string | undefined;
  /** The tool is told to be ready by this in what it prints; else after a pause. */
  readonly readyWhen?: RegExp;
  /** It prints for as long as the load runs. */
  readonly endless?: true;
}

const DEFAULT_PAUSE_MS = 500;
/** A tool behind with its work gets so long to catch up; that it prints nothing says that it has. */
const [QUIET_MS, CATCH_UP_MS] = [300, 3000];

/** The peer's address and port in a line of `ss -tnpH`, of tcpdump or of a log. */
const PEER = {
  ss: new RegExp(`^ESTAB .*:${SERVER_PORT} +\\S*?([0-9.]+:\\d+) `),
  tcpdump: new RegExp(`IP ([0-9.]+) > [0-9.]+\\.${SERVER_PORT}: Flags \\[S\\]`),
  log: new RegExp(`SRC=([0-9.]+) .*SPT=(\\d+) DPT=${SERVER_PORT} `),
  conntrack: new RegExp(`\\[NEW\\].*src=([0-9.]+) .*?sport=(\\d+) dport=${SERVER_PORT} `),
};

const peerBy =
  (pattern: RegExp) =>
  (line: string): string | undefined => {
    const found = pattern.exec(line);
    return found ? found.slice(1).join(':') : undefined;
  };

function iptables(world: World, side: 'server' | 'client', ...rule: readonly string[]) {
  const [command = '', ...rest] = [...world.inside(side), 'iptables', '-w', '-A', 'INPUT', ...rule];
  return runOk(command, rest);
}

/** The next tracer of the same world finds no rule, and no connection that is tracked. */
async function clearFilter(world: World, side: 'server' | 'client'): Promise<void> {
  for (const argv of [
    ['iptables', '-w', '-F', 'INPUT'],
    ['conntrack', '-F'],
  ]) {
    const [command = '', ...rest] = [...world.inside(side), ...argv];
    await runOk(command, rest);
  }
}

const inputRule = ['-p', 'tcp', '--dport', String(SERVER_PORT), '-m', 'conntrack', '--ctstate'];
const log = ['-j', 'LOG', '--log-level', 'debug', '--log-prefix', 'transtracer-bench: '];

/** The kernel logs only for the first network namespace unless told otherwise. */
async function logConnections(world: World, side: 'server' | 'client', state: string) {
  await runOk('sysctl', ['-qw', 'net.netfilter.nf_log_all_netns=1']);
  await iptables(world, side, ...inputRule, state, ...log);
}

/** What people use today; each as its manual says, writing to a file. */
const TOOLS: readonly Tool[] = [
  {
    name: 'ss',
    needs: ['ss'],
    argv: ['sh', '-c', 'while :; do ss -tnpH; sleep 1; done'],
    connectionOf: peerBy(PEER.ss),
  },
  {
    name: 'iptables-new',
    needs: ['iptables', 'conntrack', 'dmesg'],
    argv: ['dmesg', '--follow-new'],
    prepare: (world, side) => logConnections(world, side, 'NEW'),
    connectionOf: peerBy(PEER.log),
  },
  {
    name: 'iptables-estb',
    endless: true,
    needs: ['iptables', 'conntrack', 'dmesg'],
    argv: ['dmesg', '--follow-new'],
    prepare: (world, side) => logConnections(world, side, 'ESTABLISHED'),
    connectionOf: peerBy(PEER.log),
  },
  {
    name: 'conntrack',
    needs: ['conntrack', 'iptables'],
    argv: ['conntrack', '-E', '-p', 'tcp', '--buffer-size', '8388608'],
    // Tracking is off in a namespace until a rule asks for it.
    prepare: async (world, side) => {
      await iptables(world, side, ...inputRule, 'NEW,ESTABLISHED');
    },
    connectionOf: peerBy(PEER.conntrack),
  },
  {
    name: 'tcpdump',
    needs: ['tcpdump'],
    argv: [
      ...['tcpdump', '-i', 'any', '-nn', '-l', '--immediate-mode'],
      `tcp dst port ${SERVER_PORT} and tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn`,
    ],
    connectionOf: (line) => peerBy(PEER.tcpdump)(line),
    readyWhen: /listening on/,
  },
  {
    name: 'bpftrace',
    needs: ['bpftrace'],
    argv: [
      // It looks for tracepoints below debugfs, which containers often lack.
      ...['unshare', '-m', 'sh', '-c'],
      'mount -t debugfs none /sys/kernel/debug; exec bpftrace -e "$0"',
      // 1 is TCP_ESTABLISHED and 3 TCP_SYN_RECV, of the accepting socket: include/net/tcp_states.h.
      `BEGIN { printf("ready\\n"); }
       tracepoint:sock:inet_sock_set_state
       /args->newstate == 1 && args->oldstate == 3 && args->sport == ${SERVER_PORT}/
       { printf("open %d %s %s:%d\\n", pid, comm, ntop(args->daddr), args->dport); }`,
    ],
    connectionOf: (line) => /^open \d+ .* (\S+)$/.exec(line)?.[1],
    readyWhen: /^ready/m,
  },
];

async function start(tool: Tool, { world, group, side }: Setting): Promise<RunningTracer> {
  await tool.prepare?.(world, side);
  const directory = await temporaryDirectory();
  const [out, startedMs] = [join(directory, 'out'), performance.now()];
  const redirect = ['sh', '-c', 'exec "$@" >"$0" 2>&1', out];
  await writeFile(out, '');
  const argv = [...world.on(side, group), ...ENDS_WITH_US, ...redirect, ...tool.argv];
  const [command = '', ...rest] = argv;
  const child = spawn(command, rest, { stdio: 'ignore' });
  try {
    await (tool.readyWhen ? saysReady(tool, out, child) : sleep(DEFAULT_PAUSE_MS));
  } catch (error) {
    await end(child);
    throw error;
  }
  const startMs = performance.now() - startedMs;
  return {
    ...(tool.readyWhen ? { startMs } : {}),
    kill: () => end(child),
    stop: async () => {
      await (tool.endless ? sleep(DEFAULT_PAUSE_MS) : caughtUp(out));
      await end(child);
      if (tool.prepare) await clearFilter(world, side);
      const connections = await countConnections(tool, out);
      await rm(directory, { recursive: true, force: true });
      return { connections };
    },
  };
}

async function caughtUp(out: string): Promise<void> {
  const deadlineMs = performance.now() + CATCH_UP_MS;
  let size = -1;
  for (;;) {
    const before = size;
    size = (await stat(out)).size;
    if (size === before || performance.now() > deadlineMs) return;
    await sleep(QUIET_MS);
  }
}

function saysReady(tool: Tool, out: string, child: ChildProcess): Promise<true> {
  return eventually(
    async () => {
      let text = '';
      for await (const line of linesOf(out)) text += `${line}\n`;
      if (child.exitCode !== null) throw new Error(`${tool.name} ended: ${text}`);
      return tool.readyWhen?.test(text) === true;
    },
    { timeoutMs: 20_000, what: `readiness of ${tool.name}` },
  );
}

async function countConnections(tool: Tool, out: string): Promise<number> {
  const seen = new Set<string>();
  for await (const line of linesOf(out)) {
    const key = tool.connectionOf(line);
    if (key !== undefined) seen.add(key);
  }
  return seen.size;
}

function linesOf(file: string) {
  return createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
}

/** The authors' agent: `BENCH_AUTHORS` is its command line, with the options of its database. */
function authors(commandLine: string): Tool {
  return {
    name: 'authors',
    needs: [],
    argv: ['sh', '-c', `exec ${commandLine}`],
    connectionOf: () => undefined,
  };
}

export function toolConditions(authorsCommand: string | undefined): readonly Condition[] {
  const tools = authorsCommand ? [...TOOLS, authors(authorsCommand)] : TOOLS;
  return tools.map((tool) => ({
    name: tool.name,
    needs: tool.needs,
    start: (setting) => start(tool, setting),
  }));
}
