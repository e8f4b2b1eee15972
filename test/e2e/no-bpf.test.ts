/** Kernels without BPF, or locked down: seen through a seccomp filter that refuses bpf(2). */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Cleanup } from '../support/cleanup.ts';
import { Ttracerd, ttctl } from '../support/commands.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { REPOSITORY, run, SKIP_UNLESS_ROOT } from '../support/run.ts';

const NO_BPF = join(REPOSITORY, 'build', 'no-bpf');
const TTCTL = join(REPOSITORY, 'bin', 'ttctl');

interface DoctorJson {
  readonly auto: { readonly mode: string | null; readonly reason: string };
  readonly helper: {
    readonly probes: readonly {
      readonly probe: string;
      readonly rung?: string;
      readonly ok: boolean;
      readonly errno?: string | null;
      readonly detail?: string;
    }[];
  };
}

for (const errno of ['ENOSYS', 'EPERM']) {
  describe(`where bpf(2) gives ${errno}`, { skip: SKIP_UNLESS_ROOT }, () => {
    const wrapper = [NO_BPF, errno];
    const cleanup = new Cleanup();
    let dataDir: string;
    before(async () => {
      dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    });
    after(() => cleanup.run());

    const start = (...argv: string[]): Ttracerd => {
      const agent = new Ttracerd([...argv, '--cmdb', 'none', '--data-dir', dataDir], { wrapper });
      return cleanup.keep(agent, (it) => it.kill());
    };

    it('--mode auto polls, and logs why', async () => {
      const agent = start('--mode', 'auto');
      const ready = await agent.ready();
      assert.equal(ready['mode'], 'poll');
      assert.equal(ready['attach'], null);
      const refused = agent.log.filter((line) => line.msg === 'rung refused');
      assert.deepEqual(
        refused.map((line) => line['rung']),
        ['fentry', 'kprobe', 'tracepoint'],
      );
      for (const line of refused) assert.notEqual(line['reason'], '');
      assert.equal((await agent.stop()).code, 0);
    });

    it('doctor says why', async () => {
      const argv = [errno, process.execPath, TTCTL, 'doctor', '--data-dir', dataDir];
      const report = await run(NO_BPF, [...argv, '--format', 'json']);
      assert.equal(report.code, 0, report.stderr);
      const { auto, helper } = JSON.parse(report.stdout) as DoctorJson;
      assert.equal(auto.mode, 'poll');
      assert.match(auto.reason, /fentry refused .*; kprobe refused .*; tracepoint refused /);
      const rungs = helper.probes.filter((probe) => probe.probe === 'rung');
      assert.deepEqual(
        rungs.map((probe) => [probe.rung, probe.ok]),
        [
          ['fentry', false],
          ['kprobe', false],
          ['tracepoint', false],
          ['poll', true],
        ],
      );
      const tracepoint = rungs.find((probe) => probe.rung === 'tracepoint');
      assert.match(`${tracepoint?.errno} ${tracepoint?.detail}`, new RegExp(errno));
      const text = await run(NO_BPF, argv);
      assert.match(text.stdout, /auto: poll/);
      assert.match(text.stdout, new RegExp(`tracepoint .*${errno}`));
    });

    for (const argv of [
      ['--mode', 'stream'],
      ['--attach', 'tracepoint'],
    ]) {
      it(`${argv.join(' ')} ends with 3 and one line`, async () => {
        const outcome = await start(...argv).ended();
        assert.equal(outcome.code, 3);
        const forPeople = outcome.stderr.split('\n').filter((line) => !line.startsWith('{'));
        assert.equal(forPeople.length, 2, outcome.stderr); // the line, and the end of it
        assert.match(forPeople[0] ?? '', new RegExp(`^ttracerd: ${argv.join(' ')} can't run here`));
        assert.ok((forPeople[0] ?? '').includes(errno), outcome.stderr);
        assert.ok(outcome.ms < 5_000);
      });
    }
  });
}

describe('doctor, with BPF', { skip: SKIP_UNLESS_ROOT }, () => {
  it('names the mode that auto chooses', async () => {
    const { code, stdout } = await ttctl(['doctor', '--data-dir', '/nonexistent']);
    assert.equal(code, 0);
    assert.match(stdout, /auto: stream/);
  });
});
