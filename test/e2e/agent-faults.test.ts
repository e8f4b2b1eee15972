/** An agent that is stopped, signalled while it starts, cut off from its output, or not alone. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import {
  type CoverageJson,
  edgesTo,
  type GraphJson,
  Ttracerd,
  ttctlJson,
} from '../support/commands.ts';
import { Namespace } from '../support/namespace.ts';
import { startTestPostgres, temporaryDirectory, urlOf } from '../support/postgres.ts';
import { eventually, processesWith } from '../support/processes.ts';
import { ENDS_WITH_US, REPOSITORY, run, SKIP_UNLESS_ROOT } from '../support/run.ts';

const TTRACERD = join(REPOSITORY, 'bin', 'ttracerd');
/** Longer than ttracerd waits for a report. */
const STOPPED_MS = 12_000;
/** More flows than the kernel's ring can announce while nobody reads it, on either side. */
const PEERS = 4_000;
const MAX_HELPER_GROWTH_KIB = 4_096;

function residentKiB(pid: number): number {
  return Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

describe('an agent that is stopped (SIGSTOP)', { skip: SKIP_UNLESS_ROOT }, () => {
  it('holds nothing up, and counts all of it when it goes on', async (t) => {
    const cleanup = new Cleanup();
    t.after(() => cleanup.run());
    const namespace = cleanup.keep(await Namespace.create(), (it) => it.delete());
    const postgres = cleanup.keep(await startTestPostgres(), (it) => it.stop());
    const dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    const reach = ['--cmdb', urlOf(await postgres.createDatabase())];
    const { wrapper } = namespace;
    const argv = [...reach, '--data-dir', dataDir, '--netns', 'own', '--flush-interval', '500ms'];
    const agent = cleanup.keep(new Ttracerd(argv, { wrapper }), (it) => it.kill());
    const server = cleanup.keep(new Actor({ wrapper }), (it) => it.end());
    const client = cleanup.keep(new Actor({ wrapper }), (it) => it.end());
    await agent.ready();
    const { fd, port } = await server.listen('0.0.0.0');
    const { helperPid } = agent;
    const beforeKiB = residentKiB(helperPid);
    const stoppedMs = performance.now();
    process.kill(agent.pid, 'SIGSTOP');
    const served = server.do(`serve ${fd} ${PEERS} 10`);
    for (let i = 0; i < PEERS; i++) {
      await client.do(`churn 127.1.${i >> 8}.${i & 255} ${port} 1 20`);
    }
    await served;
    const workedMs = performance.now() - stoppedMs;
    assert.ok(workedMs < STOPPED_MS, `${PEERS} connections took ${workedMs} ms`);
    await sleep(STOPPED_MS - workedMs);
    const grownKiB = residentKiB(helperPid) - beforeKiB;
    assert.ok(grownKiB < MAX_HELPER_GROWTH_KIB, `the helper grew by ${grownKiB} KiB`);
    process.kill(agent.pid, 'SIGCONT');
    const counted = async () => {
      const graph = await ttctlJson<GraphJson>(['flows', ...reach]);
      return edgesTo(graph, port).reduce((sum, edge) => sum + edge.connections, 0);
    };
    const found = await eventually(async () => (await counted()) === PEERS && PEERS, {
      timeoutMs: 15_000,
      what: `${PEERS} connections`,
    });
    t.diagnostic(`${found} connections in ${Math.round(workedMs)} ms; helper +${grownKiB} KiB`);
    assert.equal(agent.helperPid, helperPid, 'the helper answered; it was we who did not read');
    // Announcements that found no room in the ring are told again from the kernel's own table.
    const { coverage } = await ttctlJson<CoverageJson>(['coverage', ...reach]);
    assert.ok(coverage.length > 0 && coverage.every((each) => !each.gap), 'no gap');
    assert.equal((await agent.stop()).code, 0);
  });
});

describe('signals while ttracerd starts', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  let scratch: string;
  before(async () => {
    scratch = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
  });
  after(() => cleanup.run());

  const MOMENTS_MS = [0, 60, 120, 200, 300, 450, 600, 900, 1_300, 1_800, 2_500];

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`${signal} ends it within 5 s at any moment, and nothing stays behind`, async () => {
      for (const atMs of MOMENTS_MS) {
        const dataDir = join(scratch, `${signal}-${atMs}`);
        const agent = cleanup.keep(new Ttracerd(['--data-dir', dataDir, '--netns', 'own']), (it) =>
          it.kill(),
        );
        await sleep(atMs);
        const { code, signal: by, stderr, ms } = await agent.stop(signal);
        // Before Node runs our code the signal does what it does to any program.
        assert.ok(code === 0 || (by === signal && stderr === ''), `${atMs} ms: ${code} ${stderr}`);
        assert.ok(ms < 5_000, `at ${atMs} ms: ${ms} ms`);
        assert.doesNotMatch(stderr, /\bat .*\.[jt]s:\d+|"level":[56]0/);
        await eventually(() => processesWith(dataDir).length === 0, {
          what: `nothing left of the one stopped at ${atMs} ms`,
        });
      }
    });
  }

  it('SIGHUP does not end it, once it runs our code', async () => {
    for (const atMs of MOMENTS_MS) {
      const dataDir = join(scratch, `SIGHUP-${atMs}`);
      const argv = ['--data-dir', dataDir, '--netns', 'own', '--cmdb', 'none'];
      const agent = cleanup.keep(new Ttracerd(argv), (it) => it.kill());
      await sleep(atMs);
      agent.child.kill('SIGHUP');
      const ended = await Promise.race([agent.ready().then(() => null), agent.ended()]);
      if (ended !== null) assert.deepEqual([ended.signal, ended.stderr], ['SIGHUP', '']);
      else assert.equal((await agent.stop()).code, 0);
    }
  });
});

describe('ttracerd and its output', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  let dataDir: string;
  before(async () => {
    dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
  });
  after(() => cleanup.run());

  const shell = (redirected: string) => {
    const argv = [TTRACERD, '--cmdb', 'none', '--data-dir', dataDir, '--netns', 'own'];
    const command = `exec ${process.execPath} ${argv.join(' ')} ${redirected}`;
    const [program = '', ...rest] = [...ENDS_WITH_US, 'sh', '-c', command];
    return spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  };

  for (const [what, redirected] of [
    ['closed from the start', '--output jsonl >&- 2>&-'],
    ['on a full disk', '--output jsonl >/dev/full 2>/dev/full'],
  ] as const) {
    it(`stdout and stderr ${what}: ends as it should`, async () => {
      const child = shell(redirected);
      const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
      await Promise.race([sleep(2_000), ended]);
      child.kill('SIGTERM');
      assert.equal(await ended, 0);
    });
  }

  it('a log that nobody reads any more ends nothing', async () => {
    const child = shell('');
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    await new Promise((resolve) => child.stderr.once('data', resolve));
    child.stderr.destroy();
    await sleep(1_500);
    assert.equal(child.exitCode, null);
    child.kill('SIGTERM');
    assert.equal(await ended, 0);
  });
});

describe('limits and neighbours', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  let scratch: string;
  before(async () => {
    scratch = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
  });
  after(() => cleanup.run());

  const argv = (name: string) => [
    '--cmdb',
    'none',
    '--netns',
    'own',
    '--data-dir',
    join(scratch, name),
  ];

  it('two agents with data directories of their own both work', async () => {
    const agents = ['one', 'two'].map((name) =>
      cleanup.keep(new Ttracerd(argv(name)), (it) => it.kill()),
    );
    for (const agent of agents) assert.equal((await agent.ready())['mode'], 'stream');
    for (const agent of agents) assert.equal((await agent.stop()).code, 0);
  });

  it('too few open files to load are told in one line', async () => {
    const outcome = await run('prlimit', [
      '--nofile=32',
      process.execPath,
      TTRACERD,
      ...argv('few'),
    ]);
    assert.equal(outcome.code, 70);
    assert.match(
      outcome.stderr,
      /^ttracerd: can't load the program: EMFILE: too many open files.*\n$/,
    );
  });

  it('with just enough open files it traces all the same', async () => {
    const agent = new Ttracerd(argv('enough'), { wrapper: ['prlimit', '--nofile=128'] });
    cleanup.keep(agent, (it) => it.kill());
    await agent.ready();
    assert.equal((await agent.stop()).code, 0);
  });

  it('the soft limit of open files does not keep the helper from many namespaces', async () => {
    const namespaces = await Promise.all(Array.from({ length: 20 }, () => Namespace.create()));
    for (const namespace of namespaces) cleanup.keep(namespace, (it) => it.delete());
    const wrapper = [
      'prlimit',
      '--nofile=128:4096',
      'sh',
      '-c',
      'ulimit -S -n 32; exec "$@"',
      'sh',
    ];
    const helper = [...wrapper, join(REPOSITORY, 'build', 'ttracer-helper'), '--mode', 'poll'];
    const [command = '', ...rest] = helper;
    const child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve)); // it greets
    child.stdin.end();
    assert.equal(await ended, 0);
    assert.equal(stderr, '');
  });

  it('a small RLIMIT_MEMLOCK changes nothing here: BPF memory is accounted to cgroups', async () => {
    const agent = new Ttracerd(argv('memlock'), { wrapper: ['prlimit', '--memlock=65536'] });
    cleanup.keep(agent, (it) => it.kill());
    assert.equal((await agent.ready())['mode'], 'stream');
    assert.equal((await agent.stop()).code, 0);
  });
});
