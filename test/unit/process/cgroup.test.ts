import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseCgroupFile, placementOf, placementOfPath } from '../../../src/process/cgroup.ts';

const ID = '0123456789abcdef'.repeat(4);
const POD = 'pod1a2b3c4d_0000_1111_2222_333344445555';

describe('placementOfPath: units', () => {
  const units: readonly (readonly [string, string])[] = [
    ['/', ''],
    ['/system.slice/nginx.service', 'nginx.service'],
    [
      '/system.slice/system-postgresql.slice/postgresql@15-main.service',
      'postgresql@15-main.service',
    ],
    ['/system.slice/foo.service/payload/worker', 'foo.service'],
    ['/system.slice/cups.socket', 'cups.socket'],
    ['/system.slice/mnt-data.mount', 'mnt-data.mount'],
    ['/init.scope', 'init.scope'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service', 'foo.service'],
    ['/user.slice/user-1000.slice/user@1000.service', 'user@1000.service'],
    ['/user.slice/user-1000.slice/session-3.scope', ''],
    ['/user.slice/user-0.slice/session-c12.scope', ''],
    ['/user.slice', ''],
    ['/system.slice/run-r0123456789abcdef0123456789abcdef.scope', ''],
    ['/system.slice/run-u77.service', ''],
    ['/system.slice/run-p12-i34.scope', ''],
    [
      '/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-4711.scope',
      'app-gnome-firefox.scope',
    ],
    ['/a.slice/tmux-spawn-01234567-89ab-cdef-0123-456789abcdef.scope', 'tmux-spawn.scope'],
    [
      '/a.slice/app-org.kde.konsole@0123456789abcdef0123456789abcdef.service',
      'app-org.kde.konsole@.service',
    ],
    ['/system.slice/system-sshd.slice/sshd@12-10.0.0.1:22-10.0.0.9:50123.service', 'sshd@.service'],
    ['/system.slice/system-foo.slice/foo@3-4711-1000.service', 'foo@.service'],
    ['/system.slice/dbus-:1.23-org.example.Thing@0.service', 'dbus-org.example.Thing.service'],
    [`/machine.slice/libpod-conmon-${ID}.scope`, 'libpod-conmon.scope'],
    ['/machine.slice/machine-qemu\\x2d4\\x2dweb.scope/libvirt/emulator', ''],
    ['/machine.slice/systemd-nspawn@web.service/supervisor', 'systemd-nspawn@web.service'],
    ['/process_api/a2a1b63a9494e7e97f264d7d79e860bc', ''],
  ];
  for (const [path, unit] of units) {
    it(path, () => {
      assert.deepEqual(placementOfPath(path), { unit, container: null });
    });
  }
});

describe('placementOfPath: containers', () => {
  const containers: readonly (readonly [string, string, string])[] = [
    [`/docker/${ID}`, ID, 'docker'],
    [`/docker/${ID}/system.slice/nginx.service`, ID, 'docker'],
    [`/system.slice/docker-${ID}.scope`, ID, 'docker'],
    [`/kubepods/burstable/${POD}/${ID}`, ID, ''],
    [
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-${POD}.slice/cri-containerd-${ID}.scope`,
      ID,
      'containerd',
    ],
    [`/kubepods.slice/kubepods-${POD}.slice/crio-${ID}.scope/container`, ID, 'crio'],
    [
      `/system.slice/containerd.service/kubepods-burstable-${POD}.slice:cri-containerd:${ID}`,
      ID,
      'containerd',
    ],
    [
      `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope/container`,
      ID,
      'podman',
    ],
    [`/libpod_parent/libpod-${ID}`, ID, 'podman'],
    ['/lxc/web', 'web', 'lxc'],
    ['/lxc.payload.web/system.slice/nginx.service', 'web', 'lxc'],
    ['/lxc.payload/web', 'web', 'lxc'],
    [`/lxc.payload.web/docker/${ID}`, ID, 'docker'],
    ['/machine.slice/machine-web\\x2d1.scope/payload/init.scope', 'web-1', 'nspawn'],
    ['/machine.slice/systemd-nspawn@web.service/payload', 'web', 'nspawn'],
    [`/../../docker-${ID}.scope`, ID, 'docker'],
  ];
  for (const [path, containerId, runtime] of containers) {
    it(path, () => {
      assert.deepEqual(placementOfPath(path), { unit: '', container: { containerId, runtime } });
    });
  }
});

describe('placementOf', () => {
  const unitOf = (text: string) => placementOf(parseCgroupFile(text)).unit;

  it('prefers the v2 path, then the one systemd keeps, then any other', () => {
    assert.equal(
      unitOf('2:cpu:/c.service\n1:name=systemd:/b.service\n0::/a.service\n'),
      'a.service',
    );
    assert.equal(unitOf('2:cpu:/c.service\n1:name=systemd:/b.service\n0::/\n'), 'b.service');
    assert.equal(unitOf('3:cpu,cpuacct:/c.service\n1:name=systemd:/\n'), 'c.service');
    assert.equal(unitOf(''), '');
  });

  it('finds a container the runtime moved in the v1 hierarchies only', () => {
    const text = `4:memory:/docker/${ID}\n1:name=systemd:/docker/${ID}\n0::/system.slice/containerd.service\n`;
    assert.equal(placementOf(parseCgroupFile(text)).container?.containerId, ID);
  });

  it('takes paths with colons whole and without the mark of a removed cgroup', () => {
    assert.deepEqual(parseCgroupFile('0::/a:b:c (deleted)\n'), {
      unified: '/a:b:c',
      systemd: null,
      controllers: [],
    });
  });
});
