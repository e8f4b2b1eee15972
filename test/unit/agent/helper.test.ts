import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explainFailure, helperArguments, superviseHelper } from '../../../src/agent/helper.ts';
import { type AgentOptions, resolveOptions } from '../../../src/agent/options.ts';
import {
  AbiMismatchError,
  HelperExitError,
  HelperStartError,
  type RungFrame,
} from '../../../src/bpf-ts-loader/index.ts';
import { UserError } from '../../../src/common/exit-codes.ts';

const options = (argv: Record<string, string> = {}): AgentOptions =>
  resolveOptions({ argv, env: {}, file: {} });

const RUNGS: RungFrame[] = [
  { type: 'rung', rung: 'fentry', error: 1, text: 'not permitted' },
  { type: 'rung', rung: 'kprobe', error: 38, text: 'not built in' },
];

function explained(error: unknown, argv: Record<string, string> = {}): UserError {
  const explanation = explainFailure(error, options(argv));
  assert.ok(explanation instanceof UserError);
  assert.equal(explanation.exitCode, 3);
  assert.equal(explanation.cause, error);
  return explanation;
}

describe('the helper', () => {
  it('is told what to do', () => {
    const flows = ['--max-flows', '16384'];
    const argv = { mode: 'stream', attach: 'kprobe', netns: 'own' };
    assert.deepEqual(helperArguments(options(argv), '/sys/fs/bpf/x'), [
      ...['--mode', 'stream', '--attach', 'kprobe', '--netns', 'own', ...flows],
      ...['--pin', '/sys/fs/bpf/x'],
    ]);
    assert.deepEqual(helperArguments(options({ once: 'true' }), null), [
      ...['--mode', 'poll', '--time-wait', '--netns', 'all', ...flows],
    ]);
  });

  it('that is not there is a matter of building it', () => {
    assert.throws(
      () =>
        superviseHelper(options(), null, { TTRACER_HELPER: '/nowhere/helper' }, () => undefined),
      (error: unknown) =>
        error instanceof UserError &&
        error.exitCode === 3 &&
        error.message === 'no helper at /nowhere/helper: build it with make build',
    );
  });

  it('that finds no way to trace says why, rung by rung', () => {
    const refused = new HelperExitError({ exitCode: 3, signal: null }, RUNGS, null);
    assert.equal(
      explained(refused, { mode: 'stream' }).message,
      "--mode stream can't run here (fentry: not permitted; kprobe: not built in); ttctl doctor tells more",
    );
    assert.match(explained(refused, { attach: 'fentry' }).message, /^--attach fentry can't run/);
  });

  it("that can't be started or is of another version is explained", () => {
    const start = new HelperStartError('/h', {
      cause: Object.assign(new Error(), { code: 'EACCES' }),
    });
    assert.equal(
      explained(start).message,
      "the helper can't be started: cannot run the helper '/h': EACCES",
    );
    assert.match(
      explained(new AbiMismatchError('version 1, not 2')).message,
      /^the helper is of another version \(.*version 1, not 2\); build both anew$/,
    );
  });

  it('leaves other errors as they are', () => {
    const crashed = new HelperExitError({ exitCode: 70, signal: null }, [], 'oops');
    assert.equal(explainFailure(crashed, options()), crashed);
    assert.equal(explainFailure('x', options()), 'x');
  });
});
