import { linkSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Cleanup } from '../support/cleanup.ts';
import { Namespace } from '../support/namespace.ts';
import { REPOSITORY, runOk } from '../support/run.ts';
import { judge, type Verdict } from './judge.ts';
import { readTruthLog, type TruthConnection } from './truth-log.ts';
import { type Rung, type Store, Watch } from './watch.ts';

const PROGRAM = join(REPOSITORY, 'build', 'truth-load');
const PORT = 7_000;

export interface Load {
  readonly address: string;
  readonly servers: number;
  /** Executables of clients; each is one process to a tracer, however many run. */
  readonly clients: number;
  readonly connectionsPerSecond: number;
  readonly processesPerSecond: number;
  readonly seconds: number;
  /** 0: closed at once. */
  readonly lifetimeMs: number;
}

export interface LoadResult {
  readonly truth: readonly TruthConnection[];
  readonly connections: number;
  readonly processes: number;
  /** Per second, in fact: a machine that can't keep up takes longer. */
  readonly rate: number;
}

/**
 * Makes the load and waits until it is over.
 * @param directory on the file system of the build, so that the program can be linked there
 * @param wrapper command that runs it, in a namespace
 */
export async function makeLoad(
  load: Load,
  directory: string,
  wrapper: readonly string[],
): Promise<LoadResult> {
  mkdirSync(directory, { recursive: true });
  for (let i = 0; i < load.servers; i++) linkSync(PROGRAM, join(directory, `server-${i}`));
  for (let i = 0; i < load.clients; i++) linkSync(PROGRAM, join(directory, `client-${i}`));
  const log = join(directory, 'truth.jsonl');
  const numbers = [
    PORT,
    load.servers,
    load.clients,
    load.connectionsPerSecond,
    load.processesPerSecond,
    load.seconds,
    load.lifetimeMs,
  ];
  const command = [...wrapper, PROGRAM, directory, load.address, ...numbers.map(String)];
  const stdout = await runOk(command[0] ?? '', command.slice(1), {
    env: { TRUTH_LOG: log },
    timeoutMs: load.seconds * 10_000 + 60_000,
  });
  const told = JSON.parse(stdout) as { connections: number; processes: number; elapsedMs: number };
  return {
    truth: readTruthLog(log),
    connections: told.connections,
    processes: told.processes,
    rate: told.connections / (told.elapsedMs / 1e3),
  };
}

/** The verdict on a load. */
export interface PlayedLoad {
  readonly rung: Rung;
  readonly verdict: Verdict;
  /** What the tracer says it lost. */
  readonly lost: number;
  /** Connections a second, in fact. */
  readonly rate: number;
  readonly processes: number;
}

const SETTLE_MS = 30_000;

/** Runs a load in a namespace of its own under a tracer's eyes and judges what it stored. */
export async function judgeLoad(options: {
  readonly rung: Rung;
  readonly load: Load;
  readonly store: Store;
  /** On the file system of the build. */
  readonly directory: string;
}): Promise<PlayedLoad> {
  const { rung, load, store, directory } = options;
  const cleanup = new Cleanup();
  try {
    const { wrapper } = cleanup.keep(await Namespace.create(), (it) => it.delete());
    const watch = await Watch.start({ rung, store, directory, wrapper, argv: ['--netns', 'own'] });
    cleanup.keep(watch, (it) => it.kill());
    await watch.ready();
    const { truth, rate, processes } = await makeLoad(load, join(directory, 'load'), wrapper);
    await watch.settled(({ flows }) => judge(truth, flows).missing === 0, SETTLE_MS);
    const { flows, lost } = await watch.stop();
    return { rung, verdict: judge(truth, flows, lost), lost, rate: Math.round(rate), processes };
  } finally {
    await cleanup.run();
  }
}

/** A directory beside the build, so that programs can be linked into it. */
export function besideBuild(): string {
  return join(REPOSITORY, 'build', 'truth-');
}
