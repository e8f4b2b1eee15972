/** Helpers that hang, garble, are of another version or can't be run: told, replaced, on record. */
import assert from 'node:assert/strict';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Cleanup } from '../support/cleanup.ts';
import { type CoverageJson, type LogLine, Ttracerd, ttctlJson } from '../support/commands.ts';
import { startTestPostgres, temporaryDirectory, urlOf } from '../support/postgres.ts';
import { eventually } from '../support/processes.ts';
import { type Outcome, SKIP_UNLESS_ROOT } from '../support/run.ts';
import { HELPER_PROGRAM } from '../support/tracer.ts';
import type { Scenario } from '../unit/bpf-ts-loader/fixtures/fake-helper.ts';

const FAKE_HELPER = fileURLToPath(
  new URL('../unit/bpf-ts-loader/fixtures/fake-helper.js', import.meta.url),
);
/** ttracerd waits so long for a report. */
const REPORT_TIMEOUT_MS = 10_000;

const cleanup = new Cleanup();
let scratch: string;
let reach: string[];
let started = 0;
before(async () => {
  scratch = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
  const postgres = cleanup.keep(await startTestPostgres(), (it) => it.stop());
  reach = ['--cmdb', urlOf(await postgres.createDatabase())];
});
after(() => cleanup.run());

/** An agent of its own host, with another helper or the real one. */
function start(helper = HELPER_PROGRAM): { readonly agent: Ttracerd; readonly hostId: string } {
  started += 1;
  const hostId = `00000000-0000-4000-8000-${String(started).padStart(12, '0')}`;
  const argv = [
    ...reach,
    ...['--data-dir', join(scratch, String(started)), '--netns', 'own'],
    ...['--flush-interval', '500ms', '--host-id', hostId],
  ];
  const agent = new Ttracerd(argv, { env: { TTRACER_HELPER: helper } });
  return { agent: cleanup.keep(agent, (it) => it.kill()), hostId };
}

async function script(name: string, text: string): Promise<string> {
  const path = join(scratch, name);
  await writeFile(path, `#!/bin/sh\n${text}\n`);
  await chmod(path, 0o755);
  return path;
}

function fake(scenario: Scenario): string {
  return `exec ${process.execPath} ${FAKE_HELPER} '${JSON.stringify(scenario)}'`;
}

/** Misbehaves when first started; is the real helper from then on. */
function onceThen(name: string, scenario: Scenario): Promise<string> {
  const seen = join(scratch, `${name}-seen`);
  const real = `[ -e ${seen} ] && exec ${HELPER_PROGRAM} "$@"`;
  return script(name, `${real}\n: >${seen}\n${fake(scenario)}`);
}

async function gapsOf(hostId: string): Promise<CoverageJson['coverage']> {
  const { coverage } = await ttctlJson<CoverageJson>(['coverage', ...reach]);
  return coverage.filter((each) => each.gap && each.hostId === hostId);
}

function reasonOf(line: LogLine): string {
  return String(line['reason']);
}

function assertEndsWith3(outcome: Outcome, says: RegExp): void {
  assert.equal(outcome.code, 3, outcome.stderr);
  const lines = outcome.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
  assert.equal(lines.length, 1, outcome.stderr);
  assert.match(lines[0] ?? '', says);
  assert.ok(outcome.ms < 5_000, `${outcome.ms} ms`);
}

describe('a helper that hangs (SIGSTOP)', { skip: SKIP_UNLESS_ROOT }, () => {
  it('is missed at the next report, replaced, and the time without it is a gap', async () => {
    const { agent, hostId } = start();
    await agent.ready();
    const { helperPid } = agent;
    const stoppedAt = Date.now();
    process.kill(helperPid, 'SIGSTOP');
    const gone = await agent.logged('the helper is gone', REPORT_TIMEOUT_MS + 5_000);
    assert.match(reasonOf(gone), /drain/);
    await agent.logged('watching again; the gap was repaired', 5_000);
    assert.notEqual(agent.helperPid, helperPid);
    assert.throws(() => process.kill(helperPid, 0), 'the hanging one has been ended');
    const [gap, ...more] = await eventually(
      async () => {
        const gaps = await gapsOf(hostId);
        return gaps.length > 0 && gaps;
      },
      { what: 'a gap in the coverage' },
    );
    assert.ok(gap);
    assert.deepEqual(more, []);
    const [from, to] = [Date.parse(gap.from) - stoppedAt, Date.parse(gap.to) - stoppedAt];
    assert.ok(from > -1_500 && from < 500, `begins ${from} ms after the stop`);
    assert.ok(to >= 9_000 && to < 16_000, `ends ${to} ms after the stop`);
    assert.equal((await agent.stop()).code, 0);
  });

  it('does not keep the agent from ending', async () => {
    const { agent } = start();
    await agent.ready();
    process.kill(agent.helperPid, 'SIGSTOP');
    const { helperPid } = agent;
    const outcome = await agent.stop();
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.ok(outcome.ms < 5_000, `${outcome.ms} ms`);
    assert.throws(() => process.kill(helperPid, 0));
  });
});

describe('garbage from the helper', { skip: SKIP_UNLESS_ROOT }, () => {
  it('in place of its greeting: another is started', async () => {
    const { agent } = start(await onceThen('noise', { noise: 'Segmentation fault\n' }));
    const gone = await agent.logged('the helper is gone');
    assert.match(reasonOf(gone), /byte 0|offset 0/);
    assert.equal((await agent.ready())['mode'], 'stream');
    assert.equal((await agent.stop()).code, 0);
  });

  for (const onDrain of ['garbage', 'half-frame', 'exit', 'close-output'] as const) {
    it(`in a report (${onDrain}): another is started, and the gap is on record`, async () => {
      const { agent, hostId } = start(await onceThen(onDrain, { onDrain }));
      await agent.logged('the helper is gone');
      await agent.logged('watching again; the gap was repaired');
      const gaps = await eventually(
        async () => {
          const found = await gapsOf(hostId);
          return found.length > 0 && found;
        },
        { what: 'a gap in the coverage' },
      );
      assert.equal(gaps.length, 1);
      assert.equal((await agent.stop()).code, 0);
    });
  }
});

describe('a helper that cannot do', { skip: SKIP_UNLESS_ROOT }, () => {
  it('because it is not there', async () => {
    const { agent } = start(join(scratch, 'absent'));
    assertEndsWith3(await agent.ended(), /^ttracerd: no helper at .*absent: build it/);
  });

  it('because it is not executable', async () => {
    await writeFile(join(scratch, 'plain'), '');
    const { agent } = start(join(scratch, 'plain'));
    assertEndsWith3(await agent.ended(), /^ttracerd: the helper can't be started: .*plain.*EACCES/);
  });

  it('because it is a text', async () => {
    const path = join(scratch, 'text');
    await writeFile(path, 'sleep 60\n', { mode: 0o755 });
    const { agent } = start(path);
    const says =
      /^ttracerd: the helper can't be started: .*text': it is no program for this machine/;
    assertEndsWith3(await agent.ended(), says);
  });

  it('because it is of another ABI version', async () => {
    const { agent } = start(await script('abi', fake({ hello: { abiVersion: 99 } })));
    const says =
      /^ttracerd: the helper .*another version.*ABI version 99, not \d+.*build both anew$/;
    assertEndsWith3(await agent.ended(), says);
  });

  it('because its frames are of another size', async () => {
    const { agent } = start(await script('long', fake({ longHello: true })));
    assertEndsWith3(await agent.ended(), /^ttracerd: the helper .*another version/);
  });
});
