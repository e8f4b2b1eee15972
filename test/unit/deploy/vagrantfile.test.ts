/** The Vagrantfile can't boot in a test; its syntax, machines and scripts can be checked. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../../../..', import.meta.url));
const vagrantfile = resolve(repository, 'Vagrantfile');
const describer = resolve(repository, 'test/unit/deploy/describe-vagrantfile.rb');

interface Machine {
  readonly box: string;
  readonly hostname: string;
  readonly network: string;
  readonly provisioners: Readonly<Record<string, string>>;
}

const noRuby = spawnSync('ruby', ['--version']).status === 0 ? false : 'ruby is not installed';

function ruby(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('ruby', args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

describe('Vagrantfile', { skip: noRuby }, () => {
  const machines = (): Readonly<Record<string, Machine>> =>
    JSON.parse(ruby('--disable-gems', describer, vagrantfile));

  it('has valid syntax', () => {
    assert.match(ruby('-wc', vagrantfile), /Syntax OK/);
  });

  it('defines a modern, a legacy and a CMDB machine', () => {
    const boxes = Object.entries(machines()).map(([name, { box }]) => [name, box]);
    assert.deepEqual(Object.fromEntries(boxes), {
      modern: 'ubuntu/jammy64',
      legacy: 'ubuntu/bionic64',
      cmdb: 'ubuntu/jammy64',
    });
  });

  it('gives each its own address and name', () => {
    const all = Object.entries(machines());
    assert.equal(new Set(all.map(([, machine]) => machine.network)).size, all.length);
    for (const [name, machine] of all) {
      assert.equal(machine.hostname, name);
      assert.match(machine.network, /^private_network 192\.168\.56\.\d+$/);
    }
  });

  it('provisions by make targets, with scripts a shell can read', () => {
    for (const [name, { provisioners }] of Object.entries(machines())) {
      assert.match(provisioners['install'] ?? '', /^make install PREBUILT=1$/m, name);
      assert.ok((name === 'cmdb' ? 'database' : 'agent') in provisioners, name);
      for (const [step, script] of Object.entries(provisioners)) {
        const { status, stderr } = spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' });
        assert.equal(status, 0, `${name} ${step}: ${stderr}`);
      }
    }
  });
});
