import { linkSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY, runOk } from '../support/run.ts';
import { readTruthLog, type TruthConnection } from './truth-log.ts';

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
