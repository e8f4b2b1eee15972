import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { eventually } from '../../test/support/processes.ts';
import { ENDS_WITH_US, REPOSITORY } from '../../test/support/run.ts';
import { end } from './tracer.ts';
import { SERVER_ADDRESS, SERVER_PORT, type World } from './world.ts';

const BENCH_LOAD = `${REPOSITORY}/build/bench-load`;
const TARGET = [SERVER_ADDRESS, String(SERVER_PORT)];

/** What the clients saw in one measurement. */
export interface LoadFigures {
  /** Connections made meanwhile, and answered. */
  readonly connections: number;
  /** With those that were given up; some of them had been established. */
  readonly attempted?: number;
  readonly perSecond?: number;
  readonly failed?: number;
  readonly latencyMeanUs?: number;
  readonly latencyP50Us?: number;
  readonly latencyP99Us?: number;
}

/** Clients that have been started; those with lasting connections have opened them. */
export interface Load {
  /** Connections that are open before a tracer starts. */
  readonly opened: number;
  /** Sends the load for so long. */
  run(seconds: number): Promise<LoadFigures>;
  stop(): Promise<void>;
}

export type StartLoad = (world: World) => Promise<Load>;

interface BenchLoadLine {
  readonly connections?: number;
  readonly requests?: number;
  readonly failed?: number;
  readonly skipped?: number;
  readonly perSecond?: number;
  readonly latencyMeanUs?: number;
  readonly latencyP50Us?: number;
  readonly latencyP99Us?: number;
}

function client(world: World, argv: readonly string[]): ChildProcess {
  const [command = '', ...rest] = [
    ...world.on('client', world.groups.client),
    ...ENDS_WITH_US,
    ...argv,
  ];
  return spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
}

/** Reads the lines that a client prints, one at a time. */
function linesOf(child: ChildProcess): () => Promise<string> {
  if (!child.stdout) throw new Error('the client has no stdout');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the client ended early');
    return value;
  };
}

function figuresOf(line: string): LoadFigures {
  const { connections = 0, failed = 0, skipped = 0, ...rest } = JSON.parse(line) as BenchLoadLine;
  const attempted = connections + failed;
  return { ...rest, connections, attempted, failed: failed + skipped };
}

/** One client program for one measurement: `churn` and `procs` of bench-load. */
function oneShot(argvFor: (seconds: number) => readonly string[]): StartLoad {
  return async (world) => ({
    opened: 0,
    run: async (seconds) => {
      const child = client(world, [BENCH_LOAD, ...argvFor(seconds)]);
      try {
        return figuresOf(await linesOf(child)());
      } finally {
        await end(child);
      }
    },
    stop: async () => undefined,
  });
}

/** New connections at a rate, each with one request; rate 0: as fast as they go. */
export function churn(rate: number, localAddresses = 0): StartLoad {
  const locals = localAddresses > 0 ? [String(localAddresses)] : [];
  return oneShot((seconds) => ['churn', ...TARGET, String(rate), String(seconds), ...locals]);
}

/** Short-lived processes at a rate, a connection each. */
export function procs(rate: number): StartLoad {
  return oneShot((seconds) => ['procs', ...TARGET, String(rate), String(seconds)]);
}

/** Lasting connections with a fixed number of requests a second in all. */
export function fixedRate(connections: number, rate: number): StartLoad {
  return async (world) => {
    const child = client(world, [BENCH_LOAD, 'keepalive', ...TARGET, String(connections)]);
    const nextLine = linesOf(child);
    await nextLine();
    return {
      opened: connections,
      run: async (seconds) => {
        child.stdin?.write(`${rate} ${seconds}\n`);
        return figuresOf(await nextLine());
      },
      stop: () => end(child),
    };
  };
}

/** Longer than all measurements of a workload take; it is ended before. */
const WRK_SECONDS = 3600;

/** Lasting connections, each sending its next request when the last was answered. */
export function closedLoop(connections: number): StartLoad {
  return async (world) => {
    const url = `http://${TARGET.join(':')}/`;
    const argv = ['wrk', '-t', '1', '-c', String(connections), '-d', `${WRK_SECONDS}s`, url];
    const child = client(world, argv);
    child.stdout?.resume();
    await eventually(async () => (await world.status()).open >= connections, {
      timeoutMs: 30_000,
      what: `${connections} connections of wrk`,
    });
    return {
      opened: connections,
      run: async (seconds) => {
        const [before, startedMs] = [await world.status(), performance.now()];
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
        const after = await world.status();
        const elapsed = (performance.now() - startedMs) / 1000;
        const perSecond = (after.requests - before.requests) / elapsed;
        // Little's law: in a closed loop each connection always waits for one answer.
        return { connections: 0, perSecond, latencyMeanUs: (connections / perSecond) * 1e6 };
      },
      stop: () => end(child, 'SIGINT'),
    };
  };
}

/** Nothing happens. */
export const silence: StartLoad = async () => ({
  opened: 0,
  run: async (seconds) => {
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    return { connections: 0 };
  },
  stop: async () => undefined,
});
