import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ProcessNamer } from '../../../src/process/namer.ts';

const PS_COLUMNS = 'pid=,ppid=,pgid=,euid=,comm=';

function makeNamer(): ProcessNamer {
  return new ProcessNamer({
    procRoot: '/proc',
    hostId: 'test',
    now: () => performance.now(),
    retainMs: 10_000,
  });
}

function exeOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  } catch (error) {
    assert.ok(error instanceof Error && 'code' in error);
    return error.code === 'ENOENT' || error.code === 'EACCES' ? null : assert.fail(error);
  }
}

describe('ProcessNamer on this machine', () => {
  it('agrees with ps and readlink on every process', { skip: noPs() }, () => {
    const namer = makeNamer();
    const lines = execFileSync('ps', ['-e', '-ww', '-o', PS_COLUMNS], { encoding: 'utf8' });
    let compared = 0;
    for (const line of lines.split('\n')) {
      const [, pidText, ppid, pgid, euid, comm = ''] =
        /^ *(\d+) +(\d+) +(\d+) +(\d+) (.*)$/.exec(line) ?? [];
      const pid = Number(pidText);
      const exe = exeOf(pid);
      const named = namer.fromPid(pid, 0n);
      if (named === 'vanished' || exe !== exeOf(pid) || comm.endsWith(' <defunct>')) {
        continue;
      }
      const { record } = named;
      assert.equal(record.exe, exe ?? '', line);
      assert.deepEqual([named.ppid, record.pgid, record.uid].map(String), [ppid, pgid, euid], line);
      // A kernel worker shows what it works on just now.
      if (!comm.startsWith('kworker/') && comm !== 'MainThread') {
        assert.equal(record.name, comm, line);
      }
      compared++;
    }
    assert.ok(compared > 5, `${compared} processes compared`);
    assert.equal(namer.stats.readErrors, 0);
  });

  it('gives a living process and its kernel identity after death one id', async () => {
    const child = spawn('sleep', ['100'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const pid = child.pid ?? assert.fail('no pid');
    const living = makeNamer().fromPid(pid, 0n);
    assert.ok(living !== 'vanished');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const dead = makeNamer().fromKernel({
      pid,
      startTimeNs: living.startTimeNs + 9_999_999n,
      ppid: process.pid,
      pgid: living.record.pgid,
      uid: living.record.uid,
      comm: living.record.name,
      exe: living.record.exe,
      cgroupId: 0n,
    });
    assert.equal(living.record.name, 'sleep');
    assert.equal(living.record.command, 'sleep');
    assert.equal(dead.record.processId, living.record.processId);
  });

  it('knows itself', () => {
    const self = makeNamer().fromPid(process.pid, 0n);
    assert.ok(self !== 'vanished');
    assert.equal(self.record.name === 'MainThread', false);
    assert.equal(self.record.exe, process.execPath);
    assert.equal(self.record.uid, process.geteuid?.());
    assert.equal(self.ppid, process.ppid);
    const user = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((line) => line.split(':')[2] === String(process.geteuid?.()));
    assert.equal(self.record.userName, user?.split(':')[0] ?? '');
  });
});

function noPs(): string | false {
  return existsSync('/bin/ps') || existsSync('/usr/bin/ps') ? false : 'ps is not installed';
}
