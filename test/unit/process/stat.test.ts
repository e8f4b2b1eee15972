import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseEffectiveUid, parseStat, sameStart, ticksOf } from '../../../src/process/stat.ts';
import { commandWord, printable, processName } from '../../../src/process/text.ts';
import { parsePasswd } from '../../../src/process/user-names.ts';
import { statLine } from './fake-proc.ts';

describe('parseStat', () => {
  it('reads the fields that identify a process', () => {
    assert.deepEqual(
      parseStat(statLine({ pid: 7, comm: 'nginx', ppid: 3, pgid: 5, threads: 4, startTicks: 99 })),
      {
        comm: 'nginx',
        state: 'S',
        ppid: 3,
        pgid: 5,
        kernelThread: false,
        threads: 4,
        startTicks: 99,
      },
    );
  });

  it('survives any comm', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 15, unit: 'binary' }), (comm) => {
        const stat = parseStat(statLine({ pid: 7, comm, ppid: 42, startTicks: 1234 }));
        assert.equal(stat?.ppid, 42);
        assert.equal(stat?.startTicks, 1234);
        assert.equal(stat?.comm, printable(comm));
      }),
    );
    assert.equal(parseStat(statLine({ pid: 7, comm: ') R 1 (x) 2' }))?.comm, ') R 1 (x) 2');
  });

  it('refuses what is no stat line', () => {
    for (const text of ['', '1', '1 (x', '1 (x) S 1', ') ( ']) {
      assert.equal(parseStat(text), null, text);
    }
  });

  it('knows a kernel thread by its flags', () => {
    assert.equal(parseStat(statLine({ pid: 2, flags: 0x208040 }))?.kernelThread, true);
  });
});

describe('start times', () => {
  it('meet within one tick of 10 ms', () => {
    assert.equal(ticksOf(12_345_678_901n), 1234);
    assert.ok(sameStart(1234, 1235));
    assert.ok(!sameStart(1234, 1236));
  });
});

describe('parseEffectiveUid', () => {
  it('takes the second of the four', () => {
    assert.equal(parseEffectiveUid('Name:\tx\nUid:\t0\t33\t33\t33\nGid:\t0\t0\t0\t0\n'), 33);
    assert.equal(parseEffectiveUid('Name:\tUid:\t1\t2\n'), -1);
  });
});

describe('commandWord', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['/usr/sbin/nginx\0-g\0daemon off;\0', '/usr/sbin/nginx'],
    ['nginx: worker process', 'nginx'],
    ['postgres: alice secretdb 10.0.0.1(5000) idle\0\0\0', 'postgres'],
    ['mysql -psecret', 'mysql'],
    ['-bash\0', '-bash'],
    ['a\nb\0', 'a\uFFFDb'],
    ['', ''],
    ['\0\0', ''],
  ];
  for (const [cmdline, word] of cases) {
    it(JSON.stringify(cmdline), () => {
      assert.equal(commandWord(cmdline), word);
    });
  }
});

describe('processName', () => {
  it('falls back to the executable where comm says nothing', () => {
    assert.equal(processName('MainThread', '/usr/bin/node'), 'node');
    assert.equal(processName('', '/usr/bin/node'), 'node');
    assert.equal(processName('MainThread', ''), 'MainThread');
    assert.equal(processName('nginx', '/usr/sbin/nginx'), 'nginx');
  });
});

describe('parsePasswd', () => {
  it('takes the first name of a uid and skips what is no entry', () => {
    const names = parsePasswd(
      'root:x:0:0::/:\ntoor:x:0:0::/:\n# no\n+::::::\nbad:x:abc:1\nx:x::1\nwww:x:33:33',
    );
    assert.deepEqual(
      [...names],
      [
        [0, 'root'],
        [33, 'www'],
      ],
    );
  });
});
