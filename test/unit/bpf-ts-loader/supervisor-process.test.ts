import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FrameError, HelperDownError } from '../../../src/bpf-ts-loader/errors.ts';
import type { HelperOptions } from '../../../src/bpf-ts-loader/helper.ts';
import { HelperSupervisor, type SupervisorEvent } from '../../../src/bpf-ts-loader/supervisor.ts';
import { fakeHelper, isAlive, until } from './fixtures/helper-options.ts';

interface Observed {
  readonly supervisor: HelperSupervisor;
  readonly events: SupervisorEvent[];
  readonly reading: Promise<void>;
}

const running: HelperSupervisor[] = [];

// A test that fails half-way must not leave a process behind.
afterEach(async () => {
  await Promise.all(running.splice(0).map((supervisor) => supervisor.stop()));
});

function supervise(helper: HelperOptions): Observed {
  const supervisor = new HelperSupervisor({ helper });
  running.push(supervisor);
  const events: SupervisorEvent[] = [];
  const reading = (async () => {
    for await (const event of supervisor.events) {
      events.push(event);
    }
  })();
  supervisor.start();
  return { supervisor, events, reading };
}

function ups({ events }: Observed): Extract<SupervisorEvent, { kind: 'up' }>[] {
  return events.filter((event) => event.kind === 'up');
}

describe('HelperSupervisor with real processes', () => {
  let dir = '';

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'tt-supervisor-'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('is back within 3 s after kill -9 of the helper', async (t) => {
    const observed = supervise(fakeHelper());
    await until(() => ups(observed).length === 1);
    const pid = ups(observed)[0]?.hello.pid ?? 0;
    const killedMs = performance.now();
    process.kill(pid, 'SIGKILL');
    await until(() => ups(observed).length === 2);
    const { supervisor, events, reading } = observed;
    await supervisor.request('snapshot');
    const backMs = performance.now() - killedMs;
    t.diagnostic(`back, with a snapshot, after ${backMs.toFixed(0)} ms`);
    assert.ok(backMs < 3_000);
    await supervisor.stop();
    await reading;
    assert.deepEqual(
      events.slice(0, 3).map((event) => event.kind),
      ['up', 'down', 'up'],
    );
    const frames = events
      .slice(3)
      .flatMap((event) => (event.kind === 'frames' ? event.frames : []));
    assert.deepEqual(
      frames.map((frame) => frame.type),
      ['flow', 'flow', 'flow', 'done'],
    );
    assert.ok(ups(observed).every(({ hello }) => !isAlive(hello.pid)));
  });

  it('replaces a helper that sends garbage', async () => {
    const observed = supervise(fakeHelper({ onDrain: 'garbage' }));
    await until(() => ups(observed).length === 1);
    await assert.rejects(observed.supervisor.request('drain'), FrameError);
    await until(() => ups(observed).length === 2);
    const down = observed.events.find((event) => event.kind === 'down');
    assert.ok(down?.reason instanceof FrameError);
    await observed.supervisor.stop();
    await observed.reading;
  });

  it('replaces a helper that hangs', async () => {
    const observed = supervise(fakeHelper({ onDrain: 'hang' }, { requestTimeoutMs: 200 }));
    await until(() => ups(observed).length === 1);
    await assert.rejects(observed.supervisor.request('drain'), { name: 'HelperTimeoutError' });
    await assert.rejects(observed.supervisor.request('drain'), HelperDownError);
    await until(() => ups(observed).length === 2);
    const pids = ups(observed).map(({ hello }) => hello.pid);
    assert.equal(isAlive(pids[0] ?? 0), false);
    await observed.supervisor.stop();
    await observed.reading;
  });

  it('fails for good without a binary, and when the helper says it cannot run here', async () => {
    for (const helper of [{ path: '/nonexistent/helper' }, fakeHelper({ exitEarly: 3 })]) {
      const { supervisor, events, reading } = supervise(helper);
      await assert.rejects(reading, { name: /Helper(Start|Exit)Error/ });
      assert.equal(supervisor.state, 'failed');
      assert.deepEqual(
        events.map((event) => event.kind),
        ['down'],
      );
    }
  });

  it('leaves no helper behind when its own process is killed', async () => {
    const pidFile = join(dir, 'pids');
    const script = fileURLToPath(new URL('./fixtures/supervise.js', import.meta.url));
    const agent = spawn(process.execPath, [script, JSON.stringify(fakeHelper({ pidFile }))], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(agent.stdout, 'data');
    const pid = Number(readFileSync(pidFile, 'utf8'));
    assert.ok(isAlive(pid));
    agent.kill('SIGKILL');
    await until(() => !isAlive(pid), 3_000);
  });
});
