import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, checkServerIdentity } from 'node:tls';
import { ExitCode, UserError } from '../common/exit-codes.ts';

/** false: plain text. */
export type Tls = ConnectionOptions | false;

/** What to connect with: `ssl` first; if that is refused, `sslFallback`, where there is one. */
export interface TlsPlan {
  readonly ssl: Tls;
  readonly sslFallback?: Tls;
}

/** Connection parameters by libpq's names (PostgreSQL manual, "Parameter Key Words"). */
export interface TlsParameters {
  readonly host?: string;
  readonly hostaddr?: string;
  readonly sslmode?: string;
  readonly sslrootcert?: string;
  readonly sslcert?: string;
  readonly sslkey?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** libpq's `sslmode`, weakest first. */
const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
type Mode = (typeof MODES)[number];

/** Where distributions keep the certificate authorities they trust. */
const SYSTEM_ROOTS = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt'];

function isMode(text: string): text is Mode {
  return MODES.some((mode) => mode === text);
}

function usage(message: string, cause?: unknown): UserError {
  return new UserError(ExitCode.usage, message, cause === undefined ? {} : { cause });
}

function read(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw usage(`${what}: can't read a TLS file: ${why}`, error);
  }
}

/** The file a parameter names, else libpq's own place for it in ~/.postgresql, if it is there. */
function fileOf(named: string | undefined, standard: string, env: Environment): string | undefined {
  if (named !== undefined) return named;
  const path = join(env['HOME'] || homedir(), '.postgresql', standard);
  return existsSync(path) ? path : undefined;
}

/** The certificates to trust; undefined: there are none, so nothing is checked. */
function roots(
  mode: Mode,
  { sslrootcert }: TlsParameters,
  env: Environment,
  what: string,
): Pick<ConnectionOptions, 'ca'> | undefined {
  if (sslrootcert === 'system') {
    if (mode !== 'verify-full') {
      throw usage(`${what}: sslrootcert=system needs sslmode=verify-full, not ${mode}`);
    }
    const found = [env['SSL_CERT_FILE'], ...SYSTEM_ROOTS].find((path) => path && existsSync(path));
    return found === undefined ? {} : { ca: read(found, what) };
  }
  const path = fileOf(sslrootcert, 'root.crt', env);
  if (path !== undefined) return { ca: read(path, what) };
  if (!mode.startsWith('verify')) return undefined;
  throw usage(
    `${what}: sslmode ${mode} needs a certificate authority to trust: give sslrootcert=FILE, or ` +
      'sslrootcert=system with verify-full',
  );
}

function encrypted(mode: Mode, parameters: TlsParameters, env: Environment, what: string): Tls {
  const trusted = roots(mode, parameters, env, what);
  const cert = fileOf(parameters.sslcert, 'postgresql.crt', env);
  const key = fileOf(parameters.sslkey, 'postgresql.key', env);
  const { host = '', hostaddr } = parameters;
  return {
    ...(cert === undefined ? {} : { cert: read(cert, what) }),
    ...(key === undefined ? {} : { key: read(key, what) }),
    ...(trusted ?? { rejectUnauthorized: false }),
    // With both, `hostaddr` is connected to, and `host` is whom the certificate must name.
    ...(host !== '' && hostaddr !== undefined && isIP(host) === 0 ? { servername: host } : {}),
    ...identityCheck(mode, host || hostaddr || ''),
  };
}

/** Only `verify-full` asks for whom the certificate was made out. */
function identityCheck(
  mode: Mode,
  host: string,
): Required<Pick<ConnectionOptions, 'checkServerIdentity'>> {
  return {
    checkServerIdentity: (_, certificate) =>
      mode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined,
  };
}

/**
 * TLS as libpq's `sslmode` says (PostgreSQL manual, "SSL Support"): `allow` and `prefer` (the
 * default) take either, in that order of preference; `require` encrypts; `verify-ca` checks who signed
 * the certificate, and so does any other mode once there is a root certificate; `verify-full` also
 * checks the host's name.
 * @param what names the source of the parameters in errors
 * @throws UserError (usage) for an unknown mode, and for files that are missing
 */
export function planTls(parameters: TlsParameters, env: Environment, what: string): TlsPlan {
  const system = parameters.sslrootcert === 'system';
  const mode = parameters.sslmode ?? (system ? 'verify-full' : 'prefer');
  if (!isMode(mode)) {
    throw usage(`${what}: sslmode '${mode}' is not one of ${MODES.join(', ')}`);
  }
  if (mode === 'disable') return { ssl: false };
  const tls = encrypted(mode, parameters, env, what);
  if (mode === 'allow') return { ssl: false, sslFallback: tls };
  if (mode === 'prefer') return { ssl: tls, sslFallback: false };
  return { ssl: tls };
}
