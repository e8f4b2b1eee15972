import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ExitCode, UserError } from '../../../src/common/exit-codes.ts';
import { parseCommandLine } from '../../../src/ttctl/cli.ts';

async function printed(...argv: string[]): Promise<string> {
  const request = await parseCommandLine(argv, '1.2.3');
  assert.ok(request.kind === 'print');
  return request.text;
}

async function refusal(...argv: string[]): Promise<string> {
  const error = await parseCommandLine(argv, '1.2.3').catch((reason: unknown) => reason);
  assert.ok(error instanceof UserError, String(error));
  assert.equal(error.exitCode, ExitCode.usage);
  assert.ok(!error.message.includes('\n'), error.message);
  return error.message;
}

describe('the command line', () => {
  it('explains itself', async () => {
    assert.equal(await printed('--version'), '1.2.3\n');
    assert.match(await printed('--help'), /ttctl deps \[target\]/);
    assert.match(await printed('deps', '--help'), /--direction/);
    assert.match(await printed('--ipv4', '10.0.0.1', '--help'), /--dbhost/);
    assert.match(await printed('completion'), /_ttctl_yargs_completions/);
  });

  it('completes commands, options and values', async () => {
    const complete = (...words: string[]) => printed('--get-yargs-completions', 'ttctl', ...words);
    assert.match(await complete('d'), /^deps$/m);
    assert.match(await complete('d'), /^diff$/m);
    assert.match(await complete('deps', '--'), /^--direction$/m);
    assert.match(await complete('deps', '--direction', ''), /^dependents$/m);
  });

  it('refuses in one line what it does not know', async () => {
    assert.match(await refusal(), /name a command/);
    assert.match(await refusal('frobnicate'), /unknown command "frobnicate"; there are deps, /);
    assert.match(await refusal('deps', ':80', '--frob'), /Unknown argument: frob/);
    assert.match(await refusal('deps', ':80', ':81'), /Unknown argument: :81/);
    assert.match(await refusal('flows', '--format', 'xml'), /"xml".*"tree"/);
    assert.match(await refusal('deps', ':80', '--since'), /since/);
    assert.match(await refusal('--dbhost', 'db'), /--ipv4 ADDR is missing/);
    assert.match(await refusal('--ipv4', '10.0.0.1', '--dbport', 'x'), /--dbport: "x"/);
    assert.match(await refusal('--ipv4', '10.0.0.1', '--depth', '0'), /--depth: "0"/);
    assert.match(await refusal('--ipv4', '10.0.0.1', '--frob'), /Unknown argument: frob/);
  });
});
