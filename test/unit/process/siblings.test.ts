import assert from 'node:assert/strict';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { KernelIdentity } from '../../../src/process/identity.ts';
import { ProcessNamer } from '../../../src/process/namer.ts';
import { FakeHost } from './fake-proc.ts';

function setUp(host: FakeHost) {
  const clock = { ms: 0 };
  const namer = new ProcessNamer({
    procRoot: host.proc,
    etcRoot: host.etc,
    hostId: '6f1c2d3e-0000-4000-8000-000000000001',
    now: () => clock.ms,
    retainMs: 10_000,
  });
  return { namer, clock };
}

function cgroup(host: FakeHost, path: string): bigint {
  mkdirSync(join(host.cgroup2, path), { recursive: true });
  return statSync(join(host.cgroup2, path), { bigint: true }).ino;
}

function identity(overrides: Partial<KernelIdentity>): KernelIdentity {
  return {
    pid: 100,
    startTimeNs: 10_000_000_000n,
    ppid: 50,
    pgid: 100,
    uid: 0,
    comm: 'prog',
    exe: '/usr/bin/prog',
    cgroupId: 0n,
    ...overrides,
  };
}

describe('Siblings', () => {
  it('names the next instance of a program without a look at /proc', () => {
    using host = new FakeHost();
    const cgroupId = cgroup(host, 'job.service');
    host.add({ pid: 100, cgroup: '0::/job.service\n' });
    const { namer } = setUp(host);
    const first = namer.fromKernel(identity({ cgroupId }));
    const next = { pid: 101, pgid: 7, ppid: 8, startTimeNs: 11_000_000_000n };
    const second = namer.fromKernel(identity({ cgroupId, ...next }));
    assert.equal(namer.stats.named, 1);
    assert.deepEqual(second.record, { ...first.record, pid: 101, pgid: 7 });
    assert.equal(second.record.unit, 'job.service');
    assert.deepEqual([second.ppid, second.startTimeNs], [8, next.startTimeNs]);
    assert.equal(namer.lookup(101, next.startTimeNs), second);
    assert.equal(namer.lookup(100, 10_000_000_000n), first);
  });

  it('tells apart whatever tells nodes apart', () => {
    using host = new FakeHost();
    const [here, there] = [cgroup(host, 'a.service'), cgroup(host, 'b.service')];
    const { namer } = setUp(host);
    const kinds: Partial<KernelIdentity>[] = [
      { cgroupId: here },
      { cgroupId: there },
      { cgroupId: here, uid: 33 },
      { cgroupId: here, exe: '/usr/bin/other' },
    ];
    const ids = kinds.map(
      (kind, index) => namer.fromKernel(identity({ pid: 200 + index, ...kind })).record.processId,
    );
    assert.equal(new Set(ids).size, kinds.length);
    assert.equal(namer.stats.named, kinds.length);
  });

  it('looks again after a while, and less often while nothing changes', () => {
    using host = new FakeHost();
    const cgroupId = cgroup(host, 'job.service');
    const { namer, clock } = setUp(host);
    const looks: number[] = [];
    let named = 0;
    for (let pid = 100; clock.ms < 40_000; pid++, clock.ms += 500) {
      namer.fromKernel(identity({ pid, cgroupId }));
      if (namer.stats.named > named) looks.push(clock.ms);
      named = namer.stats.named;
    }
    assert.deepEqual(looks, [0, 1_000, 3_000, 7_000, 15_000, 23_000, 31_000, 39_000]);
  });

  it('does not pass on a place that nobody knows', () => {
    using host = new FakeHost();
    const { namer } = setUp(host);
    const cgroupId = 999_999_999n;
    namer.fromKernel(identity({ cgroupId }));
    namer.fromKernel(identity({ cgroupId, pid: 101 }));
    assert.equal(namer.stats.named, 2);
  });

  it('needs the whole identity', () => {
    using host = new FakeHost();
    const cgroupId = cgroup(host, 'job.service');
    for (const lacking of [{ exe: '' }, { comm: '' }, { uid: -1 }, { cgroupId: 0n }]) {
      const { namer } = setUp(host);
      namer.fromKernel(identity({ cgroupId, ...lacking }));
      namer.fromKernel(identity({ cgroupId, ...lacking, pid: 101 }));
      assert.equal(
        namer.stats.named,
        2,
        JSON.stringify(lacking, (_, value) => String(value)),
      );
    }
  });

  describe('beside v1 hierarchies', () => {
    const container = (digit: string) => `4:memory:/docker/${digit.repeat(64)}\n0::/shim.service\n`;

    it('shares among the children of one parent only', () => {
      using host = new FakeHost('hybrid');
      const cgroupId = cgroup(host, 'shim.service');
      for (const [parent, digit] of [
        [50, 'a'],
        [51, 'b'],
      ] as const) {
        host.add({ pid: parent, comm: 'sh', startTicks: 10, cgroup: container(digit) });
      }
      const { namer } = setUp(host);
      const containerOf = (pid: number, ppid: number) =>
        namer.fromKernel(identity({ pid, ppid, cgroupId })).record.containerId?.[0];
      assert.deepEqual(
        [containerOf(100, 50), containerOf(101, 51), containerOf(102, 50)],
        ['a', 'b', 'a'],
      );
      assert.equal(namer.stats.named, 2);
    });

    it('does not share among the children of a supervisor', () => {
      using host = new FakeHost('hybrid');
      const cgroupId = cgroup(host, 'shim.service');
      host.add({ pid: 50, comm: 'containerd-shim', startTicks: 10, cgroup: '0::/shim.service\n' });
      host.add({ pid: 100, ppid: 50, cgroup: container('a') });
      host.add({ pid: 101, ppid: 50, cgroup: container('b') });
      const { namer } = setUp(host);
      const containerOf = (pid: number) =>
        namer.fromKernel(identity({ pid, cgroupId })).record.containerId?.[0];
      assert.deepEqual([containerOf(100), containerOf(101)], ['a', 'b']);
    });
  });
});
