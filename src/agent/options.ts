import { readFileSync } from 'node:fs';
import { DEFAULT_DATA_DIR } from '../cmdb/location.ts';
import { parseDurationMs } from '../common/duration.ts';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import { type Network, parseNetworks } from './cidr.ts';
import { type ListenAddress, parseListenAddress } from './listen-address.ts';

export const MODES = ['auto', 'stream', 'poll'] as const;
export const ATTACHES = ['auto', 'fentry', 'kprobe', 'tracepoint'] as const;
export const NETNS = ['all', 'own'] as const;
export const OUTPUTS = ['none', 'jsonl'] as const;
export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** Everything `ttracerd` can be told. */
export interface AgentOptions {
  readonly mode: (typeof MODES)[number];
  readonly attach: (typeof ATTACHES)[number];
  /** Value of `--cmdb` as given; undefined: what the environment says, else embedded. */
  readonly cmdb: string | undefined;
  readonly pollIntervalMs: number;
  readonly reconcileIntervalMs: number;
  readonly flushIntervalMs: number;
  readonly bucketMs: number;
  readonly netns: (typeof NETNS)[number];
  /** Networks of this host only, besides those found out. */
  readonly hostLocal: readonly Network[];
  /** Networks that are no host's own, whatever seems to be the case. */
  readonly fleet: readonly Network[];
  readonly hostId: string | undefined;
  readonly hostName: string | undefined;
  readonly output: (typeof OUTPUTS)[number];
  readonly dataDir: string;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly listen: ListenAddress | null;
  readonly once: boolean;
  /** How long what this host wrote is kept; null: for ever. */
  readonly retentionMs: number | null;
  /** Leave programs and counts in the kernel for the next start. */
  readonly pin: boolean;
}

interface OptionSpec {
  readonly describe: string;
  readonly default?: string;
  readonly choices?: readonly string[];
  readonly boolean?: true;
}

/** Each is also an environment variable `TTRACER_NAME` and a key of the configuration file. */
export const OPTION_SPECS = {
  mode: { describe: 'how to watch sockets', choices: MODES, default: 'auto' },
  attach: { describe: 'rung of the attach ladder', choices: ATTACHES, default: 'auto' },
  cmdb: { describe: "a postgres:// URL, 'embedded' or 'none' [PG* variables, else embedded]" },
  'poll-interval': { describe: 'time between snapshots when polling', default: '1s' },
  'reconcile-interval': { describe: 'time between snapshots when streaming', default: '30s' },
  'flush-interval': { describe: 'time between writes to the CMDB', default: '10s' },
  bucket: { describe: 'time slice of history', default: '5m' },
  netns: { describe: 'network namespaces to watch', choices: NETNS, default: 'all' },
  'host-local': { describe: 'networks of this host only, besides bridges: CIDR,CIDR' },
  'fleet-network': { describe: 'networks that mean the same on every host: CIDR,CIDR' },
  'host-id': { describe: 'UUID of this host [from machine-id]' },
  'host-name': { describe: 'name of this host [its hostname]' },
  output: { describe: 'also print each flow to stdout', choices: OUTPUTS, default: 'none' },
  'data-dir': { describe: 'embedded CMDB, spool, host id', default: DEFAULT_DATA_DIR },
  'log-level': { describe: 'least severe level logged', choices: LOG_LEVELS, default: 'info' },
  listen: { describe: 'address of /metrics and /healthz, such as 127.0.0.1:9464 [off]' },
  retention: { describe: "remove this host's data that is older, at least 1d: 30d, 12w [never]" },
  once: { describe: 'take one snapshot, write it, exit', boolean: true },
  pin: {
    describe: 'count on in the kernel while ttracerd is down',
    default: 'true',
    boolean: true,
  },
} as const satisfies Record<string, OptionSpec>;

export type OptionName = keyof typeof OPTION_SPECS;
export const OPTION_NAMES = Object.keys(OPTION_SPECS) as OptionName[];

export type GivenOptions = Partial<Record<OptionName, string>>;

/** The variable of an option: `TTRACER_POLL_INTERVAL`. */
export function variableOf(name: string): string {
  return `TTRACER_${name.toUpperCase().replaceAll('-', '_')}`;
}

function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(OPTION_SPECS, name);
}

function usage(message: string, cause?: unknown): UserError {
  return new UserError(ExitCode.usage, message, cause === undefined ? {} : { cause });
}

function fromEnvironment(env: NodeJS.ProcessEnv): GivenOptions {
  return Object.fromEntries(
    OPTION_NAMES.flatMap((name) => {
      const value = env[variableOf(name)];
      return value ? [[name, value]] : [];
    }),
  );
}

/**
 * Reads a configuration file: a JSON object whose keys are option names.
 * @throws UserError (usage) when it can't be read or has a key that is no option
 */
export function readConfigFile(path: string): GivenOptions {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw usage(
      `--config ${path}: ${why.replaceAll(/\s+/g, ' ')}; it must be a JSON object`,
      error,
    );
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw usage(`--config ${path}: it must be a JSON object`);
  }
  return Object.fromEntries(
    Object.entries(parsed).map(([key, value]) => {
      if (!isOptionName(key)) {
        throw usage(
          `--config ${path}: '${key}' is no option; there are ${OPTION_NAMES.join(', ')}`,
        );
      }
      if (typeof value !== 'string' && typeof value !== 'boolean') {
        throw usage(`--config ${path}: the value of '${key}' must be a string`);
      }
      return [key, String(value)];
    }),
  );
}

export interface OptionSources {
  readonly argv: GivenOptions;
  readonly env: NodeJS.ProcessEnv;
  readonly file: GivenOptions;
}

const MIN_INTERVAL_MS = 100;
/** Timers reach not quite 25 days; nobody wants to wait longer than this. */
const MAX_INTERVAL_MS = 86_400_000;
const MAX_BUCKET_MS = 86_400_000;
const MIN_RETENTION_MS = 86_400_000;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What was given, wherever; argv before environment before file. */
export function givenOptions({ argv, env, file }: OptionSources): GivenOptions {
  return { ...file, ...fromEnvironment(env), ...argv };
}

/**
 * Puts options together: argv before environment before file before default.
 * @throws UserError (usage) naming the option, its value and what is accepted
 */
export function resolveOptions(sources: OptionSources): AgentOptions {
  const given = givenOptions(sources);
  const choose = <T extends string>(name: OptionName, choices: readonly T[]): T => {
    const value = given[name] ?? (OPTION_SPECS[name] as OptionSpec).default ?? '';
    const chosen = choices.find((choice) => choice === value);
    if (chosen === undefined) {
      throw usage(`--${name}: '${value}' is not known; use one of ${choices.join(', ')}`);
    }
    return chosen;
  };
  const duration = (name: OptionName): number => {
    const text = given[name] ?? (OPTION_SPECS[name] as OptionSpec).default ?? '';
    const ms = parseDurationMs(text, `--${name}`);
    if (ms < MIN_INTERVAL_MS) throw usage(`--${name}: '${text}' is too short; use 100ms or more`);
    if (ms > MAX_INTERVAL_MS) throw usage(`--${name}: '${text}' is too long; use 1d or less`);
    return ms;
  };
  const mode = choose('mode', MODES);
  const attach = choose('attach', ATTACHES);
  if (mode === 'poll' && attach !== 'auto') {
    throw usage(`--attach: '${attach}' makes no sense with --mode poll; leave one of them out`);
  }
  return {
    mode,
    attach,
    cmdb: given.cmdb,
    pollIntervalMs: duration('poll-interval'),
    reconcileIntervalMs: duration('reconcile-interval'),
    flushIntervalMs: duration('flush-interval'),
    bucketMs: bucketLength(given.bucket ?? OPTION_SPECS.bucket.default),
    netns: choose('netns', NETNS),
    hostLocal: networks('host-local', given['host-local']),
    fleet: networks('fleet-network', given['fleet-network']),
    hostId: hostId(given['host-id']),
    hostName: notEmpty('host-name', given['host-name']),
    output: choose('output', OUTPUTS),
    dataDir: notEmpty('data-dir', given['data-dir']) ?? DEFAULT_DATA_DIR,
    logLevel: choose('log-level', LOG_LEVELS),
    listen: given.listen === undefined ? null : parseListenAddress(given.listen),
    once: given.once === undefined ? false : choose('once', ['true', 'false']) === 'true',
    retentionMs: given.retention === undefined ? null : retention(given.retention),
    pin: choose('pin', ['true', 'false']) === 'true',
  };
}

function notEmpty(name: OptionName, text: string | undefined): string | undefined {
  if (text === '') throw usage(`--${name}: the value is empty; give one, or leave the option out`);
  return text;
}

function networks(name: string, text: string | undefined): Network[] {
  return text === undefined ? [] : parseNetworks(text, `--${name}`);
}

/** A bucket lies within one day's partition: whole seconds that divide a day. */
function bucketLength(text: string): number {
  const ms = parseDurationMs(text, '--bucket');
  if (ms % 1000 !== 0 || ms > MAX_BUCKET_MS || MAX_BUCKET_MS % ms !== 0) {
    throw usage(`--bucket: '${text}' does not divide a day into whole seconds; use 1m, 5m or 1h`);
  }
  return ms;
}

/** History is kept by day; anything shorter is a typing error that would cost nearly all of it. */
function retention(text: string): number {
  const ms = parseDurationMs(text, '--retention');
  if (ms < MIN_RETENTION_MS) {
    throw usage(`--retention: '${text}' is less than a day, by which history is kept; use 30d`);
  }
  return ms;
}

function hostId(text: string | undefined): string | undefined {
  if (text !== undefined && !UUID.test(text)) {
    throw usage(`--host-id: '${text}' is not a UUID; use one like the output of uuidgen`);
  }
  return text?.toLowerCase();
}
