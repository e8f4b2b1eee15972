import assert from 'node:assert/strict';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import {
  AbiMismatchError,
  FrameError,
  HelperDownError,
  HelperExitError,
  HelperStartError,
  HelperTimeoutError,
} from '../../../src/bpf-ts-loader/errors.ts';
import type { Frame } from '../../../src/bpf-ts-loader/frames.ts';
import type { HelperOptions } from '../../../src/bpf-ts-loader/helper.ts';
import { HelperProcess } from '../../../src/bpf-ts-loader/helper-process.ts';
import type { Scenario } from './fixtures/fake-helper.ts';
import { fakeHelper, isAlive, until } from './fixtures/helper-options.ts';
import { flowFrame, REFUSED_RUNG } from './fixtures/samples.ts';

const running: HelperProcess[] = [];

async function run(
  scenario: Scenario = {},
  options: Partial<HelperOptions> = {},
): Promise<HelperProcess> {
  const helper = await HelperProcess.spawn(fakeHelper(scenario, options));
  running.push(helper);
  return helper;
}

// A test that fails half-way must not leave a process behind.
afterEach(() => {
  for (const helper of running.splice(0)) {
    helper.kill(new Error('test over'));
  }
});

async function collect(helper: HelperProcess): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const batch of helper.frames) {
    frames.push(...batch);
  }
  return frames;
}

describe('HelperProcess', () => {
  it('greets, answers requests in order, and stops cleanly', async () => {
    const helper = await run();
    const reading = collect(helper);
    const { hello, rungs } = await helper.ready;
    assert.ok(isAlive(hello.pid));
    assert.deepEqual(rungs, [REFUSED_RUNG]);
    const [drained, snapshot] = await Promise.all([
      helper.request('drain'),
      helper.request('snapshot'),
    ]);
    assert.deepEqual([drained.requestId, drained.snapshot], [1n, false]);
    assert.deepEqual([snapshot.requestId, snapshot.snapshot], [2n, true]);
    assert.deepEqual(await helper.stop(), { error: null, exitCode: 0, signal: null });
    const flows = [0, 1, 2].map(flowFrame);
    assert.deepEqual(await reading, [...flows, drained, ...flows, snapshot]);
    assert.equal(isAlive(hello.pid), false);
    await assert.rejects(helper.request('drain'), HelperDownError);
  });

  it('refuses a request before HELLO', async () => {
    const helper = await run({ noHello: true });
    await assert.rejects(helper.request('drain'), HelperDownError);
    await helper.stop();
    await assert.rejects(helper.ready, HelperDownError);
    assert.deepEqual(await collect(helper), []);
  });

  it('hands on stderr line by line, and the last line in the error', async () => {
    const lines: string[] = [];
    const log = ['first', '', 'caf\u00e9', 'x'.repeat(10_000), 'no BTF'];
    const helper = await run({ log, exitEarly: 70 }, { onLog: (line) => lines.push(line) });
    const { error } = await helper.ended;
    assert.deepEqual(lines, ['first', 'caf\u00e9', 'x'.repeat(4_096), 'no BTF']);
    assert.equal(error?.message, 'the helper ended with exit code 70: no BTF');
  });

  it('gives the helper only the environment it was told', async () => {
    const lines: string[] = [];
    const onLog = (line: string) => lines.push(line);
    const helper = await run({ logEnv: true }, { env: { TT_TEST: 'yes' }, onLog });
    await helper.ready;
    await helper.stop();
    assert.deepEqual(lines, ['{"TT_TEST":"yes"}']);
  });
});

describe('HelperProcess, failures', () => {
  it('fails to start without a binary, or with one that is not executable', async () => {
    for (const [path, code] of [
      ['/nonexistent/helper', 'ENOENT'],
      ['/etc/passwd', 'EACCES'],
      ['/etc/passwd/helper', 'ENOTDIR'],
    ] as const) {
      await assert.rejects(HelperProcess.spawn({ path }), (error: unknown) => {
        assert.ok(error instanceof HelperStartError);
        assert.equal(error.code, code);
        assert.match(error.message, new RegExp(`${path}.*${code}`));
        return true;
      });
    }
  });

  it('does not have a shell read what is no program for this machine', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'transtracer-'));
    try {
      const foreign = Buffer.from(await readFile(process.execPath));
      foreign.writeUInt16LE(0xfefe, 18); // e_machine
      const touched = join(directory, 'touched');
      for (const content of [`touch ${touched}`, '', foreign]) {
        const path = join(directory, 'helper');
        await writeFile(path, content, { mode: 0o755 });
        await assert.rejects(HelperProcess.spawn({ path }), (error: unknown) => {
          assert.ok(error instanceof HelperStartError);
          assert.match(error.message, /helper': it is no program for this machine \(ENOEXEC\)$/);
          return error.code === 'ENOEXEC';
        });
      }
      await assert.rejects(access(touched));
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('tells the rungs tried when the helper exits before HELLO', async () => {
    const helper = await run({ exitEarly: 3 });
    await assert.rejects(helper.ready, (error: unknown) => {
      assert.ok(error instanceof HelperExitError);
      assert.deepEqual([error.exitCode, error.signal, error.rungs], [3, null, [REFUSED_RUNG]]);
      return true;
    });
    await assert.rejects(collect(helper), HelperExitError);
  });

  it('gives up on a helper that does not say HELLO in time, and ends it', async () => {
    const helper = await run({ noHello: true }, { helloTimeoutMs: 300 });
    await assert.rejects(helper.ready, HelperTimeoutError);
    assert.equal((await helper.ended).signal, 'SIGKILL');
  });

  const mismatches: readonly (readonly [string, Scenario, RegExp])[] = [
    ['an ABI version', { hello: { abiVersion: 3 } }, /ABI version 3, not 2/],
    ['a frame size', { hello: { flowSize: 136 } }, /flow frames 136, not 128/],
    ['a HELLO size', { longHello: true }, /144 bytes, not 136/],
  ];
  for (const [what, scenario, message] of mismatches) {
    it(`refuses ${what} that is not its own`, async () => {
      const helper = await run(scenario);
      await assert.rejects(helper.ready, (error: unknown) => {
        assert.ok(error instanceof AbiMismatchError);
        assert.match(error.message, message);
        return true;
      });
      assert.equal((await helper.ended).signal, 'SIGKILL');
    });
  }

  const misorders: readonly (readonly [string, Scenario, FrameError['problem']])[] = [
    ['text in place of frames', { noise: 'bash: helper: not a helper\n' }, 'length'],
    ['a flow before HELLO', { flowBeforeHello: true }, 'order'],
    ['a second HELLO', { twoHellos: true }, 'order'],
  ];
  for (const [what, scenario, problem] of misorders) {
    it(`ends a helper that sends ${what}`, async () => {
      const helper = await run(scenario);
      const { error } = await helper.ended;
      assert.ok(error instanceof FrameError, String(error));
      assert.equal(error.problem, problem);
    });
  }

  it('delivers what came before garbage, then throws and rejects requests', async () => {
    const helper = await run({ onDrain: 'garbage' });
    await helper.ready;
    const request = assert.rejects(helper.request('drain'), FrameError);
    const frames: Frame[] = [];
    await assert.rejects(async () => {
      for await (const batch of helper.frames) {
        frames.push(...batch);
      }
    }, FrameError);
    await request;
    assert.deepEqual(frames, [0, 1, 2].map(flowFrame));
    assert.equal((await helper.ended).signal, 'SIGKILL');
  });

  it('delivers what a helper sent before it died', async () => {
    const helper = await run({ onDrain: 'exit', flows: 100 });
    await helper.ready;
    const request = assert.rejects(helper.request('drain'), HelperExitError);
    const frames: Frame[] = [];
    await assert.rejects(async () => {
      for await (const batch of helper.frames) {
        frames.push(...batch);
      }
    }, HelperExitError);
    await request;
    assert.equal(frames.length, 100);
  });

  it('reports a frame cut short by an exit that looked clean', async () => {
    const helper = await run({ onDrain: 'half-frame' });
    await helper.ready;
    await assert.rejects(helper.request('drain'), { name: 'FrameError', problem: 'truncated' });
  });

  it('ends a helper that closed its output but runs on', async () => {
    const helper = await run({ onDrain: 'close-output' });
    await helper.ready;
    await assert.rejects(helper.request('drain'), HelperDownError);
    assert.equal((await helper.ended).signal, 'SIGKILL');
  });

  it('times out a request, leaves the helper alone, and takes the next request', async () => {
    const helper = await run({ onDrain: 'hang' });
    const reading = collect(helper);
    await helper.ready;
    await assert.rejects(helper.request('drain', { timeoutMs: 200 }), {
      name: 'HelperTimeoutError',
      lagging: false,
    });
    assert.equal((await helper.request('snapshot')).requestId, 2n);
    await helper.stop();
    await reading;
  });

  it('does not wait for a grandchild that keeps the pipes open', async () => {
    const helper = await run({ leavePipesOpen: true, onDrain: 'exit' });
    await helper.ready;
    const startedMs = performance.now();
    await assert.rejects(helper.request('drain'), HelperExitError);
    assert.ok(performance.now() - startedMs < 2_500);
  });
});

/** Asks until the helper is made to wait for us. */
async function untilLagging(helper: HelperProcess): Promise<void> {
  for (let round = 0; round < 100; round++) {
    const error: unknown = await helper.request('snapshot', { timeoutMs: 100 }).catch((e) => e);
    assert.ok(error instanceof HelperTimeoutError, 'an answer came past 7.7 MB that nobody read');
    if (error.lagging) {
      return;
    }
  }
  assert.fail('was never made to wait');
}

describe('HelperProcess, backpressure', () => {
  it('makes the helper wait while nobody reads, then delivers all of it in order', async () => {
    const flows = 60_000;
    const helper = await run({ flows });
    await helper.ready;
    const request = helper.request('drain');
    // 7.7 MB are due; without a reader no more than the queue and the pipe can be taken.
    await untilLagging(helper);
    let n = 0;
    for await (const batch of helper.frames) {
      for (const frame of batch) {
        if (frame.type === 'flow' && n < flows) {
          assert.equal(frame.counts.opened, n);
          n += 1;
        }
      }
      if (batch.some((frame) => frame.type === 'done')) {
        break;
      }
    }
    assert.equal(n, flows);
    assert.equal((await request).requestId, 1n);
    assert.equal((await helper.ended).error, null, 'leaving the loop stops the helper');
  });

  it('can be iterated once only', async () => {
    const helper = await run();
    const reading = collect(helper);
    await assert.rejects(collect(helper), /only once/);
    await helper.stop();
    await reading;
  });
});

describe('HelperProcess.stop', () => {
  it('goes on to SIGTERM when EOF does not help', async () => {
    const helper = await run({ ignoreEof: true }, { stopGraceMs: 100 });
    await helper.ready;
    assert.deepEqual(await helper.stop(), { error: null, exitCode: null, signal: 'SIGTERM' });
  });

  it('goes on to SIGKILL when SIGTERM does not help', async () => {
    const graces = { stopGraceMs: 100, termGraceMs: 100 };
    const helper = await run({ ignoreEof: true, ignoreTerm: true }, graces);
    await helper.ready;
    const startedMs = performance.now();
    assert.equal((await helper.stop()).signal, 'SIGKILL');
    assert.ok(performance.now() - startedMs < 1_500);
  });

  it('stops a helper that waits for a reader', async () => {
    const helper = await run({ flows: 60_000 }, { stopGraceMs: 200, termGraceMs: 200 });
    const { hello } = await helper.ready;
    const request = assert.rejects(helper.request('drain'), HelperDownError);
    await untilLagging(helper);
    assert.equal((await helper.stop()).error, null);
    await request;
    await until(() => !isAlive(hello.pid));
  });

  it('is the same stop when called twice', async () => {
    const helper = await run();
    await helper.ready;
    const [one, two] = await Promise.all([helper.stop(), helper.stop()]);
    assert.equal(one, two);
  });
});
