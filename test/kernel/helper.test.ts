/** The helper as a process: its greeting, its end, and how it names the processes it sees. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readlink, rm, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { ACTOR_PROGRAM, Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { eventually, processStat } from '../support/processes.ts';
import { run, runOk, SKIP_UNLESS_ROOT } from '../support/run.ts';
import {
  HELPER_PROGRAM,
  NATIVE_RUNGS,
  type NativeRung,
  rungName,
  Tracer,
} from '../support/tracer.ts';

function isAlive(pid: number): boolean {
  try {
    return !/[ZX]/.test(processStat(pid)[0] ?? 'X');
  } catch {
    return false; // no such process any more
  }
}

for (const rung of Object.keys(NATIVE_RUNGS) as NativeRung[]) {
  describe(`the helper, ${rung}`, { skip: SKIP_UNLESS_ROOT }, () => {
    it('says HELLO: what it is, where, and when', async () => {
      const tracer = await Tracer.start(NATIVE_RUNGS[rung]);
      try {
        const { hello, rungs } = tracer.greeting;
        assert.equal(hello.rung, rungName(rung));
        assert.equal(hello.release, release());
        assert.ok(isAlive(hello.pid));
        assert.equal(hello.netns, (await stat('/proc/self/ns/net')).ino);
        assert.equal(hello.features.allNetns, true);
        assert.equal(hello.features.destroyNotices, rung !== 'tracepoint');
        assert.ok(Math.abs(Number(hello.wallNs / 1_000_000n) - Date.now()) < 5_000);
        assert.deepEqual(
          rungs.filter(({ error }) => error === 0).map((step) => step.rung),
          [rungName(rung)],
        );
      } finally {
        await tracer.stop();
      }
    });

    it('counts what opens while it comes up, once', async () => {
      const [server, client] = [new Actor(), new Actor()];
      const address = '127.0.0.1';
      try {
        const { port } = await server.listen(address, 4_096);
        let isUp = false;
        const starting = Tracer.start(NATIVE_RUNGS[rung]).finally(() => {
          isUp = true;
        });
        let opened = 0;
        while (!isUp && opened < 4_000) opened += await client.one(`open ${address} ${port} 4`);
        const tracer = await starting;
        try {
          await tracer.report();
          assert.equal(tracer.end('active', port).connections, opened);
        } finally {
          await tracer.stop();
        }
      } finally {
        await Promise.all([server.end(), client.end()]);
      }
    });

    it('ends with 0 at the end of stdin', async () => {
      const child = spawn(HELPER_PROGRAM, NATIVE_RUNGS[rung], {
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      const exited = once(child, 'exit');
      await once(child.stdout, 'data'); // it is up
      child.stdin.end();
      assert.deepEqual(await exited, [0, null]);
    });

    it('ends when nobody reads any more', async () => {
      const child = spawn(HELPER_PROGRAM, NATIVE_RUNGS[rung], {
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      const exited = once(child, 'exit');
      await once(child.stdout, 'data');
      child.stdout.destroy();
      const request = Buffer.alloc(16);
      request.writeUInt32LE(16, 0);
      request.writeUInt16LE(64, 4);
      child.stdin.on('error', () => undefined); // it is gone before it has read all
      child.stdin.write(request);
      await Promise.race([exited, new Promise((_, reject) => setTimeout(reject, 3_000).unref())]);
    });

    it('is killed with its parent, though its stdin stays open', async () => {
      const script = `"$0" ${NATIVE_RUNGS[rung].join(' ')} <&3 >/dev/null 2>&1 & echo $!; wait`;
      const shell = spawn('sh', ['-c', `exec 3<&0; ${script}`, HELPER_PROGRAM], {
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      const [line] = (await once(createInterface(shell.stdout), 'line')) as [string];
      const pid = Number(line);
      // Its shell has become the helper, and has asked to die with its parent, once it has signals
      // blocked to read them itself.
      await eventually(async () => (await readlink(`/proc/${pid}/exe`)) === HELPER_PROGRAM);
      await eventually(() => hasBlocked(pid), { what: 'the helper to be up' });
      shell.kill('SIGKILL');
      await eventually(() => !isAlive(pid), { timeoutMs: 3_000, what: 'the end of the helper' });
      shell.stdin.destroy();
    });

    it('ends itself by SIGTERM, with 0', async () => {
      const tracer = await Tracer.start(NATIVE_RUNGS[rung]);
      process.kill(tracer.greeting.hello.pid, 'SIGTERM');
      const { exitCode, signal } = await tracer.helper.ended;
      assert.deepEqual([exitCode, signal], [0, null]);
    });
  });
}

/** SIGTERM is bit 14 of the mask (proc(5)). */
async function hasBlocked(pid: number): Promise<boolean> {
  const { stdout } = await run('grep', ['SigBlk', `/proc/${pid}/status`]);
  return (BigInt(`0x${stdout.trim().split(/\s+/)[1] ?? '0'}`) & 0x4000n) !== 0n;
}

describe('arguments of the helper', () => {
  for (const argv of [['--mode', 'fast'], ['--max-flows', '0'], ['stray'], ['--nonsense']]) {
    it(`refuses ${argv.join(' ')}`, async () => {
      const { code, stderr } = await run(HELPER_PROGRAM, argv);
      assert.equal(code, 2);
      assert.match(stderr, new RegExp(argv.at(-1)?.replaceAll('-', '') ?? ''));
    });
  }
});

describe('the executable that the kernel names', { skip: SKIP_UNLESS_ROOT }, () => {
  const cleanup = new Cleanup();
  let directory: string;
  let tracer: Tracer;
  before(async () => {
    directory = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    tracer = cleanup.keep(await Tracer.start(NATIVE_RUNGS.tracepoint), (it) => it.stop());
  });
  after(() => cleanup.run());

  const copyTo = async (path: string) => {
    await mkdir(dirname(path), { recursive: true });
    await copyFile(ACTOR_PROGRAM, path);
    await chmod(path, 0o755);
    return path;
  };
  const mount = async (...argv: string[]) => {
    const at = argv.at(-1) ?? '';
    await mkdir(at, { recursive: true });
    await runOk('mount', argv);
    cleanup.keep(at, (it) => runOk('umount', [it]));
    return at;
  };

  /** Has a process listen and connect to itself; gives what the kernel said of it. */
  const identify = async (actor: Actor) => {
    const { fd, port } = await actor.listen('127.0.0.1');
    const mine = await actor.one(`begin 127.0.0.1 ${port}`);
    await actor.do(`accept ${fd}`);
    await actor.do(`finish ${mine}`);
    await tracer.report();
    const firsts = tracer.firsts.filter(({ key }) => key.servicePort === port);
    assert.deepEqual(firsts.map(({ key }) => key.direction).sort(), ['active', 'passive']);
    const [first, other] = firsts;
    assert.ok(first && other);
    assert.deepEqual(first.identity, other.identity);
    return { identity: first.identity, port, mine };
  };

  const places: Record<string, () => Promise<{ program: string; wrapper?: string[] }>> = {
    'where it was built': async () => ({ program: ACTOR_PROGRAM }),
    'in a path with blanks and letters': async () => ({
      program: await copyTo(join(directory, 'a b', 'ä', 'actor')),
    }),
    'on a tmpfs': async () => ({
      program: await copyTo(
        join(await mount('-t', 'tmpfs', 'tmpfs', join(directory, 'tmpfs')), 'bin', 'actor'),
      ),
    }),
    'on a mount upon a mount': async () => {
      const outer = await mount('-t', 'tmpfs', 'tmpfs', join(directory, 'outer'));
      const inner = await mount('-t', 'tmpfs', 'tmpfs', join(outer, 'deeper', 'inner'));
      return { program: await copyTo(join(inner, 'actor')) };
    },
    'on a bind mount': async () => {
      await copyTo(join(directory, 'origin', 'sub', 'actor'));
      const bound = join(directory, 'bound');
      await mkdir(bound);
      await mount('--bind', join(directory, 'origin'), bound);
      return { program: join(bound, 'sub', 'actor') };
    },
    'in a chroot': async () => {
      const root = join(directory, 'root');
      await copyTo(join(root, 'bin', 'actor'));
      return { program: '/bin/actor', wrapper: ['chroot', root] };
    },
  };
  for (const [place, prepare] of Object.entries(places)) {
    it(`is as /proc has it: ${place}`, async () => {
      const actor = new Actor(await prepare());
      try {
        const { identity } = await identify(actor);
        const exe = await readlink(`/proc/${actor.pid}/exe`);
        assert.equal(identity.exe, exe);
        assert.equal(identity.tgid, actor.pid);
        assert.equal(identity.ppid, process.pid);
        assert.equal(identity.uid, 0);
        assert.equal(identity.comm, exe.slice(exe.lastIndexOf('/') + 1));
        const stat = processStat(actor.pid);
        assert.equal(identity.pgid, Number(stat[2]));
        // Field 22, in ticks of 10 ms.
        assert.equal(identity.startNs / 10_000_000n, BigInt(stat[19] ?? 0));
      } finally {
        await actor.end();
      }
    });
  }

  it('is the one at the time of the connect, when the process then executes another', async () => {
    const again = await copyTo(join(directory, 'another'));
    const actor = new Actor();
    try {
      const before = await identify(actor);
      assert.equal(before.identity.exe, ACTOR_PROGRAM);
      await actor.do(`exec ${again}`);
      assert.equal(await readlink(`/proc/${actor.pid}/exe`), again);
      await actor.do(`send ${before.mine} 40`);
      await tracer.report();
      const end = tracer.end('active', before.port);
      assert.equal(end.connections, 1);
      assert.equal(end.bytesSent, 40);
      assert.deepEqual([...end.byPid], [[actor.pid, 1]]);
      const later = await identify(actor);
      assert.equal(later.identity.exe, again);
      assert.equal(later.identity.comm, 'another');
    } finally {
      await actor.end();
    }
  });

  it('is empty rather than cut where the path is too long', async () => {
    const name = 'n'.repeat(200);
    const actor = new Actor({ program: await copyTo(join(directory, name, name, 'actor')) });
    try {
      assert.equal((await identify(actor)).identity.exe, '');
    } finally {
      await actor.end();
    }
  });

  it('names the user in effect', async () => {
    const wrapper = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'];
    const actor = new Actor({ wrapper, program: await copyTo(join(directory, 'open', 'actor')) });
    try {
      const uid = Number((await runOk('id', ['-u', 'nobody'])).trim());
      assert.equal((await identify(actor)).identity.uid, uid);
    } finally {
      await actor.end();
    }
  });
});
