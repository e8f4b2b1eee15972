import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseCommandLine } from '../../../src/agent/command-line.ts';
import { OPTION_NAMES, variableOf } from '../../../src/agent/options.ts';
import { UserError } from '../../../src/common/exit-codes.ts';

const parse = (argv: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  parseCommandLine(argv, env, '1.2.3');

async function printed(argv: readonly string[]): Promise<string> {
  const commandLine = await parse(argv);
  assert.equal(commandLine.kind, 'print');
  return commandLine.kind === 'print' ? commandLine.text : '';
}

describe('the command line', () => {
  it('gives what was given and nothing else', async () => {
    assert.deepEqual(await parse([]), { kind: 'run', argv: {}, configPath: undefined });
    assert.deepEqual(await parse(['--mode', 'poll', '--poll-interval=2s', '--once']), {
      kind: 'run',
      argv: { mode: 'poll', 'poll-interval': '2s', once: 'true' },
      configPath: undefined,
    });
  });

  it('keeps values as they are: no numbers, no dots, the last of two', async () => {
    const argv = ['--host-name', '007', '--listen', ':9464', '--mode', 'poll', '--mode', 'auto'];
    assert.deepEqual(await parse(argv), {
      kind: 'run',
      argv: { 'host-name': '007', listen: ':9464', mode: 'auto' },
      configPath: undefined,
    });
  });

  it('tells taking down from running', async () => {
    const noPin = { kind: 'run', argv: { pin: 'false' }, configPath: undefined };
    assert.deepEqual(await parse(['--no-pin']), noPin);
    const uninstall = { kind: 'uninstall', argv: { 'data-dir': '/d' }, configPath: undefined };
    assert.deepEqual(await parse(['--uninstall', '--data-dir', '/d']), uninstall);
    await assert.rejects(parse(['--pin', '--no-pin']), /mutually exclusive/);
  });

  it('takes the configuration file from the environment too', async () => {
    const path = async (argv: readonly string[], env: NodeJS.ProcessEnv) => {
      const commandLine = await parse(argv, env);
      return commandLine.kind === 'run' ? commandLine.configPath : null;
    };
    assert.equal(await path([], { TTRACER_CONFIG: '/e' }), '/e');
    assert.equal(await path(['--config', '/a'], { TTRACER_CONFIG: '/e' }), '/a');
    assert.equal(await path([], { TTRACER_CONFIG: '' }), undefined);
  });

  it('prints help that names every option, its variable and the exit codes', async () => {
    const text = await printed(['--help']);
    for (const name of OPTION_NAMES) {
      assert.ok(text.includes(`--${name}`), name);
      assert.ok(text.includes(variableOf(name)), variableOf(name));
    }
    assert.match(text, /Exit codes: 0 ok, 2 usage, 3 .*, 4 .*, 5 /s);
  });

  it('prints the version', async () => {
    assert.equal(await printed(['--version']), '1.2.3\n');
  });

  for (const [argv, pattern] of [
    [['--colour'], /colour.*; see ttracerd --help$/],
    [['--no-once'], /no-once/],
    [['start'], /start/],
    [['--mode'], /mode/],
    [['-x'], /x/],
  ] as const) {
    it(`refuses ${argv.join(' ')} in one line`, async () => {
      await assert.rejects(parse(argv), (error: unknown) => {
        assert.ok(error instanceof UserError);
        assert.equal(error.exitCode, 2);
        assert.match(error.message, pattern);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      });
    });
  }
});
