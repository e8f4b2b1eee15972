import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { migrationDirectory, readMigrations } from '../../../src/cmdb/migration-files.ts';
import { packageRoot } from '../../../src/cmdb/package-root.ts';

describe('migration files', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'transtracer-test-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const put = (name: string, sql = 'SELECT 1') => writeFileSync(join(directory, name), sql);

  it('reads them in order, ignoring other files', () => {
    put('0002_second.sql', '-- why\n\n-- breaking\nSELECT 2');
    put('0001_first.sql', '-- not a -- breaking one\nSELECT 1;\n-- breaking');
    put('README.md');
    put('3_not.sql');
    assert.deepEqual(
      readMigrations(directory).map(({ version, name, breaking }) => ({ version, name, breaking })),
      [
        { version: 1, name: 'first', breaking: false },
        { version: 2, name: 'second', breaking: true },
      ],
    );
  });

  it('refuses gaps, duplicates and an empty directory', () => {
    assert.throws(() => readMigrations(directory), /there are none/);
    put('0002_second.sql');
    assert.throws(() => readMigrations(directory), /version 2 is out of sequence/);
    put('0001_first.sql');
    put('0001_again.sql');
    assert.throws(() => readMigrations(directory), /version 1 is out of sequence/);
  });

  it('finds those of this package from wherever the code was compiled to', () => {
    const [first] = readMigrations(migrationDirectory());
    assert.equal(first?.name, 'cmdb');
    const deep = join(directory, 'dist', 'src', 'cmdb');
    mkdirSync(deep, { recursive: true });
    put('package.json', '{"name": "transtracer"}');
    writeFileSync(join(deep, 'package.json'), '{"type": "module"}');
    assert.equal(packageRoot(pathToFileURL(join(deep, 'x.js')).href), directory);
  });
});
