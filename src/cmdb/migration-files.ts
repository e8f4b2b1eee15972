import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from './package-root.ts';

/** One step of the schema: `sql/NNNN_name.sql`. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  /**
   * Programs that don't know this version can't work with the database any more. Said by a line
   * `-- breaking` among the comments at the top of the file.
   */
  readonly breaking: boolean;
  readonly sql: string;
}

const FILE_NAME = /^(\d{4})_([a-z0-9_]+)\.sql$/;

/** Where the migrations of this installation are. */
export function migrationDirectory(): string {
  return join(packageRoot(import.meta.url), 'sql');
}

function isBreaking(sql: string): boolean {
  const head = /^(?:--.*\n|\s*\n)*/.exec(sql)?.[0] ?? '';
  return /^--\s*breaking\s*$/m.test(head);
}

/**
 * Reads the migrations in order. Other files in the directory are ignored.
 * @throws Error when versions are not 1, 2, 3, …: such an installation is broken
 */
export function readMigrations(directory: string): Migration[] {
  const migrations = readdirSync(directory)
    .sort()
    .flatMap((file) => {
      const [, version, name] = FILE_NAME.exec(file) ?? [];
      if (version === undefined || name === undefined) return [];
      const sql = readFileSync(join(directory, file), 'utf8');
      return [{ version: Number(version), name, breaking: isBreaking(sql), sql }];
    });
  const misplaced = migrations.find(({ version }, index) => version !== index + 1);
  if (misplaced || migrations.length === 0) {
    const what = misplaced ? `version ${misplaced.version} is out of sequence` : 'there are none';
    throw new Error(`migrations in ${directory} are not numbered 0001, 0002, …: ${what}`);
  }
  return migrations;
}
