import { userInfo } from 'node:os';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import type { CmdbConfig } from './connection.ts';
import { planTls } from './tls.ts';

/** Where the CMDB is. `display` is for people and never holds the password. */
export type CmdbLocation =
  | { readonly kind: 'none' }
  | { readonly kind: 'embedded'; readonly dataDir: string }
  | { readonly kind: 'server'; readonly config: CmdbConfig; readonly display: string };

type Environment = Readonly<Record<string, string | undefined>>;

/** Connection parameters by libpq's names (PostgreSQL manual, "Parameter Key Words"). */
type Parameters = Partial<Record<ParameterName, string>>;

const PARAMETER_NAMES = [
  'host',
  'hostaddr',
  'port',
  'user',
  'password',
  'dbname',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'options',
  'application_name',
] as const;
type ParameterName = (typeof PARAMETER_NAMES)[number];

/** libpq's variable for each parameter (PostgreSQL manual, "Environment Variables"). */
const VARIABLES: Readonly<Record<ParameterName, string>> = {
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  port: 'PGPORT',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  dbname: 'PGDATABASE',
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  options: 'PGOPTIONS',
  application_name: 'PGAPPNAME',
};

/** Where the agent keeps what it must not lose. */
export const DEFAULT_DATA_DIR = '/var/lib/transtracer';
/** libpq's default where Debian builds it. */
const DEFAULT_SOCKET_DIRECTORY = '/var/run/postgresql';
const DEFAULT_PORT = 5432;
/** Stands in for the empty host of `postgres://user@/db`, which is no URL by the WHATWG's rules. */
const NO_HOST = 'no-host.invalid';

function usage(message: string): UserError {
  return new UserError(ExitCode.usage, message);
}

/** What may be shown of a URL that is not understood: anything before an `@` may be a password. */
function redacted(url: string): string {
  return url.replace(/(:\/\/).*@/s, '$1***@').replaceAll(/(password=)[^&]*/gi, '$1***');
}

function isParameterName(name: string): name is ParameterName {
  return PARAMETER_NAMES.some((known) => known === name);
}

function environmentParameters(env: Environment): Parameters {
  return Object.fromEntries(
    PARAMETER_NAMES.flatMap((name) => {
      const value = env[VARIABLES[name]];
      return value ? [[name, value]] : [];
    }),
  );
}

function parseUrl(text: string, bad: (why: string) => UserError): URL {
  try {
    return new URL(text.replace(/^(\w+:\/\/(?:[^@/?#]*@)?)(?=[/?#:]|$)/, `$1${NO_HOST}`));
  } catch {
    throw bad(/:\/\/[^/?]*,/.test(text) ? 'only one host can be given' : 'it does not parse');
  }
}

function urlParameters(text: string, what: string): Parameters {
  const bad = (why: string) =>
    usage(
      `${what}: '${redacted(text)}' is not a usable URL (${why}); use postgres://USER@HOST:PORT/DATABASE`,
    );
  const url = parseUrl(text, bad);
  const decode = (part: string): string => {
    try {
      return decodeURIComponent(part);
    } catch {
      throw bad('a % is not followed by two hexadecimal digits');
    }
  };
  const host = url.hostname === NO_HOST ? '' : decode(url.hostname).replace(/^\[(.*)\]$/, '$1');
  if (host.includes(',')) throw bad('only one host can be given');
  const fromPath: Parameters = {
    host,
    port: url.port,
    user: decode(url.username),
    password: decode(url.password),
    dbname: decode(url.pathname.slice(1)),
  };
  const parameters: Parameters = Object.fromEntries(
    Object.entries(fromPath).filter(([, value]) => value !== ''),
  );
  for (const [name, value] of url.searchParams) {
    if (!isParameterName(name)) {
      throw bad(`parameter '${name}' is not known; known are ${PARAMETER_NAMES.join(', ')}`);
    }
    parameters[name] = value;
  }
  return parameters;
}

function parsePort(port: string | undefined, what: string): number {
  if (port === undefined) return DEFAULT_PORT;
  if (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535) return Number(port);
  throw usage(`${what}: port '${port}' is not a number from 1 to 65535`);
}

function defaultUser(env: Environment, what: string): string {
  const fromEnvironment = env['USER'] ?? env['LOGNAME'];
  if (fromEnvironment) return fromEnvironment;
  try {
    return userInfo().username;
  } catch (error) {
    throw new UserError(ExitCode.usage, `${what}: give the database user, none can be guessed`, {
      cause: error,
    });
  }
}

function serverLocation(parameters: Parameters, env: Environment, what: string): CmdbLocation {
  const host = parameters.hostaddr ?? parameters.host ?? DEFAULT_SOCKET_DIRECTORY;
  const port = parsePort(parameters.port, what);
  const user = parameters.user ?? defaultUser(env, what);
  const database = parameters.dbname ?? user;
  const isSocket = host.startsWith('/');
  const config: CmdbConfig = {
    host,
    port,
    user,
    database,
    // As libpq, no TLS over a unix socket.
    ...(isSocket ? { ssl: false } : planTls(parameters, env, what)),
    ...(parameters.password === undefined ? {} : { password: parameters.password }),
    ...(parameters.options === undefined ? {} : { options: parameters.options }),
    ...(parameters.application_name === undefined
      ? {}
      : { application_name: parameters.application_name }),
  };
  return { kind: 'server', config, display: display(host, port, user, database) };
}

function display(host: string, port: number, user: string, database: string): string {
  const [name, path] = [encodeURIComponent(user), encodeURIComponent(database)];
  if (host.startsWith('/')) return `postgres://${name}@:${port}/${path}?host=${host}`;
  return `postgres://${name}@${host.includes(':') ? `[${host}]` : host}:${port}/${path}`;
}

export interface CmdbQuestion {
  /** Value of `--cmdb`: a `postgres://` URL, `embedded` or `none`. */
  readonly cmdb: string | undefined;
  readonly env: Environment;
  /** Value of `--data-dir`, default {@link DEFAULT_DATA_DIR}. */
  readonly dataDir?: string | undefined;
}

/**
 * Says where the CMDB is: the option, else `TTRACER_CMDB`, else libpq's `PG*` variables if they name a
 * server or database, else the embedded one. What a URL leaves open (the password, say) comes from
 * the `PG*` variables, as with libpq.
 * @throws UserError (usage) naming the value and what is accepted
 */
export function resolveCmdb(question: CmdbQuestion): CmdbLocation {
  const { cmdb: option, env, dataDir = DEFAULT_DATA_DIR } = question;
  const fromVariables = environmentParameters(env);
  const given = option ?? (env['TTRACER_CMDB'] || undefined);
  if (given === undefined) {
    if (env['PGSERVICE'] || env['PGSERVICEFILE']) {
      throw usage('PGSERVICE is not supported: give --cmdb a postgres:// URL, or unset it');
    }
    const { host, hostaddr, dbname } = fromVariables;
    if (host ?? hostaddr ?? dbname) return serverLocation(fromVariables, env, 'PG* variables');
    return { kind: 'embedded', dataDir };
  }
  const what = option === undefined ? 'TTRACER_CMDB' : '--cmdb';
  if (given === 'none') return { kind: 'none' };
  if (given === 'embedded') return { kind: 'embedded', dataDir };
  if (/^postgres(?:ql)?:\/\//.test(given)) {
    return serverLocation({ ...fromVariables, ...urlParameters(given, what) }, env, what);
  }
  throw usage(
    `${what}: '${redacted(given)}' is not a CMDB; use a postgres:// URL, embedded or none`,
  );
}
