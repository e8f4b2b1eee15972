import assert from 'node:assert/strict';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { KernelIdentity, NamedProcess } from '../../../src/process/identity.ts';
import { ProcessNamer } from '../../../src/process/namer.ts';
import { FakeHost } from './fake-proc.ts';

const HOST_ID = '6f1c2d3e-0000-4000-8000-000000000001';
const RETAIN_MS = 10_000;
const ID = 'ab'.repeat(32);

/** A namer on a fake host whose clock the test turns. */
function namerOn(host: FakeHost, hostId = HOST_ID) {
  const clock = { ms: 0 };
  const namer = new ProcessNamer({
    procRoot: host.proc,
    etcRoot: host.etc,
    hostId,
    now: () => clock.ms,
    retainMs: RETAIN_MS,
  });
  return { namer, clock };
}

function identity(overrides: Partial<KernelIdentity> = {}): KernelIdentity {
  return {
    pid: 100,
    startTimeNs: 10_003_456_789n,
    ppid: 50,
    pgid: 100,
    uid: 0,
    comm: 'prog',
    exe: '/usr/bin/prog',
    cgroupId: 0n,
    ...overrides,
  };
}

function alive(named: NamedProcess | 'vanished'): NamedProcess {
  assert.notEqual(named, 'vanished');
  return named as NamedProcess;
}

/** Makes a cgroup and returns its id. */
function makeCgroup(host: FakeHost, path: string): bigint {
  mkdirSync(join(host.cgroup2, path), { recursive: true });
  return statSync(join(host.cgroup2, path), { bigint: true }).ino;
}

describe('ProcessNamer', () => {
  it('names a living process from /proc', () => {
    using host = new FakeHost();
    host.add({ pid: 100, uid: 33, ppid: 7, pgid: 9, cgroup: '0::/system.slice/web.service\n' });
    const { namer } = namerOn(host);
    const { record, container, ppid, startTimeNs } = alive(namer.fromPid(100, 0n));
    assert.match(record.processId, /^-?[1-9]\d*$/);
    assert.deepEqual(
      { ...record, processId: '' },
      {
        processId: '',
        name: 'prog',
        exe: '/usr/bin/prog',
        command: 'prog',
        unit: 'web.service',
        containerId: null,
        uid: 33,
        userName: 'www-data',
        pid: 100,
        pgid: 9,
      },
    );
    assert.deepEqual([container, ppid, startTimeNs], [null, 7, 10_000_000_000n]);
  });

  it('gives ids that fit a signed 64-bit integer and depend on host, exe, place and user only', () => {
    using host = new FakeHost();
    host.add({ pid: 100 });
    host.add({ pid: 101, startTicks: 2000, comm: 'other-name', pgid: 5 });
    host.add({ pid: 102, uid: 33 });
    host.add({ pid: 103, exe: '/usr/bin/other' });
    host.add({ pid: 104, cgroup: '0::/a.service\n' });
    host.add({ pid: 105, cgroup: `0::/docker/${ID}\n` });
    const { namer } = namerOn(host);
    const idOf = (pid: number) => alive(namer.fromPid(pid, 0n)).record.processId;
    assert.equal(idOf(100), idOf(101));
    const ids = [100, 102, 103, 104, 105].map(idOf);
    const elsewhere = namerOn(host, HOST_ID.replace('1', '2')).namer;
    ids.push(alive(elsewhere.fromPid(100, 0n)).record.processId);
    assert.equal(new Set(ids).size, ids.length);
    for (const id of ids) {
      assert.equal(BigInt.asIntN(64, BigInt(id)), BigInt(id));
    }
  });

  it('strips the mark of a replaced executable', () => {
    using host = new FakeHost();
    host.add({ pid: 100 });
    host.add({ pid: 101, exe: '/usr/bin/prog (deleted)' });
    const { namer } = namerOn(host);
    assert.equal(
      alive(namer.fromPid(100, 0n)).record.processId,
      alive(namer.fromPid(101, 0n)).record.processId,
    );
  });

  it('names a container, whose users are its own', () => {
    using host = new FakeHost();
    host.add({ pid: 100, uid: 33, cgroup: `0::/system.slice/docker-${ID}.scope\n` });
    const named = alive(namerOn(host).namer.fromPid(100, 0n));
    assert.deepEqual(named.container, { containerId: ID, runtime: 'docker' });
    assert.deepEqual(
      [named.record.containerId, named.record.unit, named.record.userName],
      [ID, '', ''],
    );
  });

  it('falls back to comm for a kernel thread, whatever it works on', () => {
    using host = new FakeHost();
    const flags = 0x208040;
    host.add({ pid: 60, comm: 'kworker/u8:1-writeback', exe: null, flags, cmdline: '' });
    host.add({ pid: 61, comm: 'kworker/0:2', exe: null, flags, cmdline: '' });
    const { namer } = namerOn(host);
    const [a, b] = [60, 61].map((pid) => alive(namer.fromPid(pid, 0n)).record);
    assert.equal(a?.exe, '');
    assert.equal(a?.processId, b?.processId);
  });

  it('names through another thread when the leader has exited before its threads', () => {
    using host = new FakeHost();
    host.add({ pid: 100, state: 'Z', exe: null, threads: 2, cmdline: '' });
    host.add({ pid: 101 });
    host.write('proc/100/task/100/stat', '');
    host.write('proc/100/task/101/stat', '');
    const named = alive(namerOn(host).namer.fromPid(100, 0n));
    assert.deepEqual([named.record.pid, named.record.exe], [100, '/usr/bin/prog']);
  });

  it('keeps no control characters and no NUL', () => {
    using host = new FakeHost();
    const named = namerOn(host).namer.fromKernel(
      identity({ comm: 'a\0b\x1b', exe: '/opt/\x07\ud800x' }),
    );
    assert.equal(named.record.name, 'a\uFFFDb\uFFFD');
    assert.equal(named.record.exe, '/opt/\uFFFD\uFFFDx');
  });
});

describe('ProcessNamer: one id, however it was named', () => {
  it('alive from /proc, alive from the kernel, dead from the kernel', () => {
    using host = new FakeHost();
    const cgroupId = makeCgroup(host, 'system.slice/web.service');
    const cgroup = '0::/system.slice/web.service\n';
    host.add({ pid: 100, cgroup });
    const fromProc = alive(namerOn(host).namer.fromPid(100, 0n));
    const fromKernel = namerOn(host).namer.fromKernel(identity({ cgroupId }));
    host.remove(100);
    const { namer } = namerOn(host);
    const dead = namer.fromKernel(identity({ cgroupId }));
    assert.equal(dead.record.unit, 'web.service');
    assert.equal(fromKernel.record.processId, fromProc.record.processId);
    assert.equal(dead.record.processId, fromProc.record.processId);
    assert.deepEqual(fromKernel.record, fromProc.record);
    assert.equal(namer.stats.cgroupWalks, 1);
    // One walk learned them all.
    namer.fromKernel(identity({ pid: 200, cgroupId }));
    assert.equal(namer.stats.cgroupWalks, 1);
  });

  it('an id no cgroup has is looked for once, and not again at once', () => {
    using host = new FakeHost();
    const { namer, clock } = namerOn(host);
    namer.fromKernel(identity({ cgroupId: 1n << 31n }));
    namer.fromKernel(identity({ pid: 101, cgroupId: 1n << 31n }));
    clock.ms += 60_000;
    namer.fromKernel(identity({ pid: 102, cgroupId: 1n << 31n }));
    assert.equal(namer.stats.cgroupWalks, 1);
    const cgroupId = makeCgroup(host, 'late.service');
    assert.equal(namer.fromKernel(identity({ pid: 103, cgroupId })).record.unit, 'late.service');
    assert.equal(namer.stats.cgroupWalks, 2);
  });

  it('where v2 is not in use, a dead process was where its living parent is', () => {
    using host = new FakeHost('v1');
    const cgroup = '3:cpu:/\n1:name=systemd:/system.slice/cron.service\n';
    host.add({ pid: 50, comm: 'cron', startTicks: 500, cgroup });
    host.add({ pid: 100, ppid: 50, cgroup });
    const living = alive(namerOn(host).namer.fromPid(100, 0n));
    host.remove(100);
    const dead = namerOn(host).namer.fromKernel(identity({ cgroupId: 1n }));
    assert.equal(dead.record.unit, 'cron.service');
    assert.equal(dead.record.processId, living.record.processId);
  });

  it('and where its dead parent was, if that is remembered', () => {
    using host = new FakeHost('v1');
    const cgroup = '1:name=systemd:/system.slice/cron.service\n';
    host.add({ pid: 50, comm: 'cron', startTicks: 500, cgroup });
    const { namer } = namerOn(host);
    namer.fromPid(50, 0n);
    host.remove(50);
    assert.equal(namer.fromKernel(identity()).record.unit, 'cron.service');
  });

  it('but not where init, a container runtime or a younger process with that pid is', () => {
    using host = new FakeHost('v1');
    const cgroup = '1:name=systemd:/system.slice/x.service\n';
    host.add({ pid: 1, startTicks: 1, cgroup });
    host.add({ pid: 50, comm: 'containerd-shim', startTicks: 500, cgroup });
    host.add({ pid: 51, startTicks: 5000, cgroup });
    const { namer } = namerOn(host);
    const units = [1, 50, 51].map(
      (ppid) => namer.fromKernel(identity({ pid: 100 + ppid, ppid })).record.unit,
    );
    assert.deepEqual(units, ['', '', '']);
  });

  it('on a hybrid host the parent in the same v2 cgroup tells about the v1 ones', () => {
    using host = new FakeHost('hybrid');
    const cgroupId = makeCgroup(host, 'system.slice/containerd.service');
    const cgroup = `1:name=systemd:/docker/${ID}\n0::/system.slice/containerd.service\n`;
    host.add({ pid: 50, startTicks: 500, cgroup });
    const { namer } = namerOn(host);
    assert.equal(namer.fromKernel(identity({ cgroupId })).record.containerId, ID);
    const other = makeCgroup(host, 'system.slice/other.service');
    const moved = namer.fromKernel(identity({ pid: 101, cgroupId: other })).record;
    assert.deepEqual([moved.containerId, moved.unit], [null, 'other.service']);
  });
});

describe('ProcessNamer: time', () => {
  it('answers from the cache, and for a while after the exit', () => {
    using host = new FakeHost();
    host.add({ pid: 100 });
    const { namer, clock } = namerOn(host);
    const named = namer.fromKernel(identity());
    assert.equal(namer.fromKernel(identity()), named);
    assert.equal(namer.fromPid(100, 10_000_000_000n), named);
    host.remove(100);
    host.add({ pid: 300 });
    namer.sweep();
    clock.ms += RETAIN_MS;
    namer.sweep();
    assert.equal(namer.lookup(100, named.startTimeNs), named);
    assert.equal(namer.fromPid(100, named.startTimeNs), named);
    assert.equal(namer.fromPid(100, 0n), 'vanished');
    assert.equal(namer.stats.named, 1);
    clock.ms += 1;
    namer.sweep();
    assert.equal(namer.lookup(100, named.startTimeNs), undefined);
    assert.equal(namer.fromPid(100, named.startTimeNs), 'vanished');
    assert.deepEqual([namer.stats.cached, namer.stats.vanished], [0, 2]);
  });

  it('tells the owners of a re-used pid apart', () => {
    using host = new FakeHost();
    host.add({ pid: 100 });
    const { namer } = namerOn(host);
    const first = alive(namer.fromPid(100, 0n));
    host.add({ pid: 100, startTicks: 9000, exe: '/usr/bin/other' });
    const second = alive(namer.fromPid(100, 0n));
    assert.equal(second.record.exe, '/usr/bin/other');
    assert.equal(namer.lookup(100, first.startTimeNs), first);
    assert.equal(namer.lookup(100, second.startTimeNs), second);
    assert.equal(namer.lookup(100, 0n), second);
    // Not the process of the event, though it has its pid.
    const third = namer.fromKernel(identity({ startTimeNs: 50_000_000_000n, exe: '/bin/x' }));
    assert.deepEqual([third.record.exe, third.record.command], ['/bin/x', '']);
  });

  it('notices that a process executed another program', () => {
    using host = new FakeHost();
    host.add({ pid: 100, comm: 'bash', exe: '/bin/bash' });
    const { namer, clock } = namerOn(host);
    const shell = alive(namer.fromPid(100, 0n));
    host.add({ pid: 100, comm: 'curl', exe: '/usr/bin/curl' });
    assert.equal(alive(namer.fromPid(100, 0n)).record.name, 'curl');
    const late = namer.fromKernel(identity({ comm: 'bash', exe: '/bin/bash' }));
    assert.equal(late.record.processId, shell.record.processId);
    assert.equal(late.record.command, 'bash');
    clock.ms += 1_000;
    assert.equal(alive(namer.fromPid(100, late.startTimeNs)).record.name, 'curl');
  });

  it('notices a change of user when an event says so', () => {
    using host = new FakeHost();
    host.add({ pid: 100, uid: 33 });
    const { namer } = namerOn(host);
    assert.equal(namer.fromKernel(identity({ uid: 0 })).record.userName, 'root');
    assert.equal(namer.fromKernel(identity({ uid: 33 })).record.userName, 'www-data');
  });

  it('takes over a changed passwd', () => {
    using host = new FakeHost();
    host.add({ pid: 100, uid: 77 });
    const { namer, clock } = namerOn(host);
    assert.equal(alive(namer.fromPid(100, 0n)).record.userName, '');
    host.write('etc/passwd', 'new:x:77:77::/:/bin/sh\n');
    clock.ms += 2_000;
    assert.equal(alive(namer.fromPid(100, 0n)).record.userName, 'new');
  });

  it('has a bound', () => {
    using host = new FakeHost();
    const { namer, clock } = namerOn(host);
    for (let pid = 1; pid <= 40_000; pid++) {
      clock.ms = pid;
      namer.fromKernel(identity({ pid, ppid: 1, pgid: pid }));
    }
    assert.ok(namer.stats.cached <= 32_768);
    assert.ok(namer.stats.evicted > 0);
    assert.notEqual(namer.lookup(40_000, identity().startTimeNs), undefined);
    assert.equal(namer.lookup(1, identity().startTimeNs), undefined);
  });

  it('takes a process that vanishes in mid-read for gone', () => {
    using host = new FakeHost();
    host.write('proc/100/stat', '100 (prog) S 1 100 9 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 1000 1\n');
    host.add({ pid: 101, state: 'Z', exe: null });
    const { namer } = namerOn(host);
    assert.equal(namer.fromPid(100, 0n), 'vanished');
    assert.equal(namer.fromPid(101, 0n), 'vanished');
    assert.equal(namer.fromPid(102, 0n), 'vanished');
    assert.equal(namer.fromKernel(identity()).record.exe, '/usr/bin/prog');
    assert.equal(namer.stats.vanished, 3);
  });
});
