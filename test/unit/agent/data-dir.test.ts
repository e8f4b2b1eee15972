import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { takeDataDir } from '../../../src/agent/data-dir.ts';
import { UserError } from '../../../src/common/exit-codes.ts';
import { eventually } from '../../support/processes.ts';
import { temporaryDirectory } from './fakes.ts';

const root = temporaryDirectory();

function isTaken(directory: string): boolean {
  try {
    takeDataDir(directory).release();
    return false;
  } catch (error) {
    assert.ok(error instanceof UserError);
    assert.equal(error.exitCode, 2);
    assert.equal(
      error.message,
      `another ttracerd works on ${directory}; stop it, or give this one its own --data-dir`,
    );
    return true;
  }
}

describe('the data directory', () => {
  it('is made, and noted who has it', () => {
    const directory = join(root, 'a', 'b');
    const lock = takeDataDir(directory);
    assert.ok(statSync(directory).isDirectory());
    assert.equal(readFileSync(join(directory, 'agent.lock'), 'utf8'), `${process.pid}\n`);
    lock.release();
  });

  it('is refused to a second agent until the first releases it', () => {
    const directory = join(root, 'c');
    const lock = takeDataDir(directory);
    assert.equal(isTaken(directory), true);
    assert.equal(readFileSync(join(directory, 'agent.lock'), 'utf8'), `${process.pid}\n`);
    lock.release();
    assert.equal(isTaken(directory), false);
  });

  it('is free again when its agent was killed, though children of it live on', async () => {
    const directory = join(root, 'd');
    const module = new URL('../../../src/agent/data-dir.js', import.meta.url).href;
    const script = `
      const { takeDataDir } = await import('${module}');
      const { spawn } = await import('node:child_process');
      takeDataDir(${JSON.stringify(directory)});
      const child = spawn('sleep', ['60'], { stdio: 'ignore' });
      process.stdout.write(child.pid + '\\n');
      setInterval(() => undefined, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(holder.stdout, 'data');
    try {
      assert.equal(isTaken(directory), true);
      holder.kill('SIGKILL');
      await once(holder, 'exit');
      await eventually(() => !isTaken(directory), { timeoutMs: 2_000 });
    } finally {
      process.kill(Number(line), 'SIGKILL');
    }
  });

  it('is refused when it can not be one', () => {
    const file = join(root, 'file');
    writeFileSync(file, '');
    assert.throws(
      () => takeDataDir(join(file, 'x')),
      (error: unknown) =>
        error instanceof UserError &&
        error.exitCode === 2 &&
        /can't be used \(ENOTDIR.*\); give another with --data-dir$/.test(error.message),
    );
  });
});
