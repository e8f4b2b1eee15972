/** Disks that are full or read-only, and kernels without their file systems, in mounts of our own. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { edgesTo, type GraphJson, Ttracerd } from '../support/commands.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { eventually } from '../support/processes.ts';
import { runOk, SKIP_UNLESS_ROOT } from '../support/run.ts';

const TTCTL = [process.execPath, join(import.meta.dirname, '../../../bin/ttctl')];

/** A CMDB that does not answer. */
const AWAY = ['--cmdb', 'postgres://u@127.0.0.1:1/none'];

const cleanup = new Cleanup();
let scratch: string;
let port: number;
before(async () => {
  scratch = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
});
after(() => cleanup.run());

/** Runs a command with mounts of its own, made by a shell script before; same pid. */
function withMounts(script: string): readonly string[] {
  return [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-ec',
    `${script}\nexec "$@"`,
    'sh',
  ];
}

function start(name: string, script: string, ...argv: readonly string[]): Ttracerd {
  const agent = new Ttracerd(['--data-dir', join(scratch, name), '--netns', 'own', ...argv], {
    wrapper: withMounts(`mkdir -p ${join(scratch, name)}\n${script}`),
    pin: name.endsWith('bpffs'),
  });
  return cleanup.keep(agent, (it) => it.kill());
}

function onTmpfs(name: string, options: string): string {
  return `mount -t tmpfs -o ${options} tmpfs ${join(scratch, name)}`;
}

/** Runs a command among the mounts of an agent. */
function beside(agent: Ttracerd, ...argv: readonly string[]): Promise<string> {
  return runOk('nsenter', [`--mount=/proc/${agent.pid}/ns/mnt`, ...argv]);
}

function forPeople(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
}

describe('a data directory', { skip: SKIP_UNLESS_ROOT }, () => {
  it('that is read-only is refused with 2 and one line', async () => {
    const outcome = await start('ro', onTmpfs('ro', 'size=1m,ro'), '--cmdb', 'none').ended();
    assert.equal(outcome.code, 2);
    const [line = '', ...more] = forPeople(outcome.stderr);
    assert.match(line, /data directory .*ro can't be used \(EROFS.*--data-dir/);
    assert.deepEqual(more, []);
  });

  it('that is full before it begins is refused with 2 and one line', async () => {
    const script = `${onTmpfs('full', 'size=64k')}\nhead -c 1m /dev/zero >${scratch}/full/x || true`;
    const outcome = await start('full', script, '--cmdb', 'none').ended();
    assert.equal(outcome.code, 2, outcome.stderr);
    assert.match(forPeople(outcome.stderr).at(-1) ?? '', /data directory .*ENOSPC.*--data-dir/);
  });

  it('too small for an embedded CMDB ends it with 4, one line, and no rest', async () => {
    const agent = start('small', onTmpfs('small', 'size=2m'));
    const outcome = await agent.ended();
    assert.equal(outcome.code, 4, outcome.stderr);
    const [line = '', ...more] = forPeople(outcome.stderr);
    assert.match(line, /can't create the embedded CMDB .*No space left on device/);
    assert.deepEqual(more, []);
  });

  it('that takes no spool: what is lost is told, and it ends with 0', async () => {
    const agent = start(
      'spool',
      onTmpfs('spool', 'size=64k'),
      ...[...AWAY, '--flush-interval', '300ms'],
    );
    await agent.logged('the CMDB is away: tracing goes on');
    await agent.logged('attached');
    const actor = cleanup.keep(new Actor(), (it) => it.end());
    await actor.listen('127.0.0.1').then(({ port: at }) => actor.do(`connect 127.0.0.1 ${at}`));
    await beside(agent, 'sh', '-c', `head -c 1m /dev/zero >${scratch}/spool/x || true`);
    const outcome = await agent.stop();
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.ok(
      agent.log.some((line) => /can't spool/.test(line.msg ?? '')),
      outcome.stderr,
    );
  });
});

describe('a disk that fills up under the embedded CMDB', { skip: SKIP_UNLESS_ROOT }, () => {
  it('delays what is written, and nothing of it is missing once there is room', async () => {
    // Over what a fresh cluster takes; the rest is filled below.
    const agent = start(
      'fills',
      onTmpfs('fills', 'size=400m,mode=755'),
      '--flush-interval',
      '500ms',
    );
    await agent.ready();
    const server = cleanup.keep(new Actor(), (it) => it.end());
    const client = cleanup.keep(new Actor(), (it) => it.end());
    const listening = await server.listen('0.0.0.0');
    port = listening.port;
    const flows = async () => {
      const socket = ['--data-dir', join(scratch, 'fills')];
      const text = await beside(agent, ...TTCTL, ...['flows', ...socket, '--format', 'json']);
      return edgesTo(JSON.parse(text) as GraphJson, port);
    };
    const churn = async (from: number, count: number) => {
      const serving = server.do(`serve ${listening.fd} ${count} 10`);
      for (let i = from; i < from + count; i++)
        await client.do(`churn 127.2.${i >> 8}.${i & 255} ${port} 1 20`);
      await serving;
    };
    await churn(0, 100);
    await eventually(async () => (await flows()).length > 0, { what: 'the first flows' });
    await beside(agent, 'sh', '-c', `cat /dev/zero >${scratch}/fills/x 2>/dev/null || true`);
    let sent = 100;
    const away = agent.logged('the CMDB is away: tracing goes on', 60_000);
    let isAway = false;
    void away.then(() => {
      isAway = true;
    });
    // Pages that are there already take some more.
    for (; !isAway && sent < 15_000; sent += 500) await churn(sent, 500);
    const { reason } = await away;
    assert.match(String(reason), /No space left|53100|terminat|recovery|shut|clos|ECONN|ENOENT/i);
    await beside(agent, 'rm', `${scratch}/fills/x`);
    await agent.logged('the CMDB is back', 30_000);
    await eventually(
      async () => {
        const edges = await flows();
        return edges.reduce((sum, edge) => sum + edge.connections, 0) === sent;
      },
      { timeoutMs: 15_000, what: `${sent} connections` },
    );
    assert.equal((await agent.stop()).code, 0);
  });
});

describe('a system without', { skip: SKIP_UNLESS_ROOT }, () => {
  const cover = (directory: string) => `mount -t tmpfs tmpfs ${directory}`;

  it('tracefs: streams all the same', async () => {
    const script = [cover('/sys/kernel/tracing'), cover('/sys/kernel/debug')].join('\n');
    const agent = start('tracefs', script, '--cmdb', 'none');
    assert.equal((await agent.ready())['mode'], 'stream');
    assert.equal((await agent.stop()).code, 0);
  });

  it('bpffs: mounts one, and pins', async () => {
    const agent = start('own-bpffs', cover('/sys/fs/bpf'), ...AWAY);
    const attached = await agent.logged('attached');
    assert.deepEqual([attached['mode'], attached['pinned']], ['stream', true]);
    assert.equal((await agent.stop()).code, 0);
  });

  it('bpffs or a place for one: streams without pins, and says so once', async () => {
    const agent = start('no-bpffs', cover('/sys/fs'), ...AWAY);
    await agent.logged('attached');
    const attached = agent.log.filter(({ msg }) => msg === 'attached');
    assert.deepEqual(
      attached.map((line) => [line['mode'], line['pinned']]),
      [['stream', false]],
    );
    assert.match(String(attached[0]?.['unpinned']), /no bpffs at \/sys\/fs\/bpf, and mounting it/);
    const doctor = await beside(agent, ...TTCTL, 'doctor', '--data-dir', join(scratch, 'no-bpffs'));
    assert.match(doctor, /no +bpffs/);
    assert.equal((await agent.stop()).code, 0);
  });

  it('/proc: says so in one line', async () => {
    const agent = start('proc', cover('/proc'), '--cmdb', 'none');
    const { code, stderr } = await agent.ended();
    assert.notEqual(code, 0);
    assert.equal(forPeople(stderr).length, 1, stderr);
  });
});
