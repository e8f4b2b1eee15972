import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { packageRoot } from '../cmdb/package-root.ts';
import { UserError } from '../common/exit-codes.ts';
import { type CommandLine, parseCommandLine } from './command-line.ts';
import { logTo } from './log-destination.ts';
import {
  type AgentOptions,
  givenOptions,
  type OptionSources,
  readConfigFile,
  resolveOptions,
} from './options.ts';
import { uninstall } from './pins.ts';
import { type RunContext, runAgent } from './ttracerd.ts';

/** An error nobody foresaw: a bug, or a machine in trouble. Restarting may help. */
const UNEXPECTED = 70;

type Run = Extract<CommandLine, { kind: 'run' | 'uninstall' }>;

/**
 * Runs `ttracerd`.
 * @param argv arguments without interpreter and script
 * @returns the exit code (see `ExitCode`); errors have been told in one line on stderr
 */
export async function main(argv: readonly string[], process: NodeJS.Process): Promise<number> {
  const { stdout, stderr, env } = process;
  try {
    const version = packageVersion();
    const commandLine = await parseCommandLine(argv, env, version);
    if (commandLine.kind === 'print') {
      stdout.write(commandLine.text);
      return 0;
    }
    const options = readOptions(commandLine, env);
    if (commandLine.kind === 'uninstall') {
      const given = givenOptions(sourcesOf(commandLine, env))['data-dir'] !== undefined;
      stdout.write(uninstall(given ? options.dataDir : null));
      return 0;
    }
    const log = pino(
      { level: options.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
      logTo(stderr.fd),
    );
    const stop = new AbortController();
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
    stderr.on('error', () => undefined); // nobody is left to be told
    // A reader of --output jsonl that has gone away ends the agent: nobody listens any more.
    stdout.on('error', () => stop.abort());
    const onReload = reloader(process, commandLine, options, log);
    await runAgent({ options, env, stdout, log, version, stop: stop.signal, onReload });
    return 0;
  } catch (error) {
    const text = error instanceof Error ? error.message || error.name : String(error);
    stderr.write(`ttracerd: ${text.replaceAll(/\s*\n\s*/g, ' ').trim()}\n`);
    return error instanceof UserError ? error.exitCode : UNEXPECTED;
  }
}

function sourcesOf({ argv, configPath }: Run, env: NodeJS.ProcessEnv): OptionSources {
  return { argv, env, file: configPath ? readConfigFile(configPath) : {} };
}

function readOptions(run: Run, env: NodeJS.ProcessEnv): AgentOptions {
  return resolveOptions(sourcesOf(run, env));
}

/** Options that may change while the agent runs. */
const LIVE: readonly (keyof AgentOptions)[] = [
  'logLevel',
  'flushIntervalMs',
  'reconcileIntervalMs',
  'pollIntervalMs',
];

/**
 * At SIGHUP the configuration file is read again; a bad one changes nothing. Listens at once, since an
 * unheard SIGHUP would end an agent that still starts.
 */
function reloader(
  process: NodeJS.Process,
  commandLine: Run,
  initial: AgentOptions,
  log: pino.Logger,
): RunContext['onReload'] {
  let latest: AgentOptions | null = null;
  let tell: (options: AgentOptions) => void = () => undefined;
  process.on('SIGHUP', () => {
    try {
      const next = readOptions(commandLine, process.env);
      const fixed = (Object.keys(next) as (keyof AgentOptions)[]).filter(
        (name) =>
          !LIVE.includes(name) && JSON.stringify(next[name]) !== JSON.stringify(initial[name]),
      );
      if (fixed.length > 0) log.warn({ options: fixed }, 'these change only at a restart');
      log.level = next.logLevel;
      latest = next;
      tell(next);
      log.info('configuration read again');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      log.error({ reason }, 'configuration not changed');
    }
  });
  return (changed) => {
    tell = changed;
    if (latest !== null) tell(latest);
  };
}

function packageVersion(): string {
  const manifest = join(packageRoot(import.meta.url), 'package.json');
  const parsed: unknown = JSON.parse(readFileSync(manifest, 'utf8'));
  const version =
    typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : null;
  return typeof version === 'string' ? version : 'unknown';
}
