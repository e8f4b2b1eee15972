import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PLAIN } from '../../../src/render/palette.ts';
import { agentState, readLocks } from '../../../src/ttctl/doctor/agent-lock.ts';
import { chooseMode, type HelperReport, probeHelper } from '../../../src/ttctl/doctor/probe.ts';
import { renderDoctor } from '../../../src/ttctl/doctor/report.ts';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ttctl-doctor-'));
});
after(async () => {
  await rm(directory, { recursive: true });
});

/** A helper that prints these lines. */
async function helper(name: string, script: string): Promise<HelperReport> {
  const path = join(directory, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return probeHelper(path);
}

const TRACEPOINT = `cat <<'END'
{"probe":"rung","rung":"fentry","ok":false,"errno":"EPERM","detail":"EPERM: load refused"}
{"probe":"rung","rung":"kprobe","ok":false,"errno":"ENOENT","detail":""}
{"probe":"rung","rung":"tracepoint","ok":true,"errno":null,"detail":""}
{"probe":"rung","rung":"poll","ok":true,"errno":null,"detail":""}
{"probe":"capability","name":"CAP_BPF","ok":true}
{"probe":"feature","name":"btf","ok":true,"detail":"vmlinux"}
{"probe":"something new","ok":true}
not json
END`;

describe('doctor', () => {
  it('says what auto chooses and why', async () => {
    const report = await helper('good', TRACEPOINT);
    assert.equal(report.problem, null);
    assert.equal(report.probes.length, 6);
    assert.deepEqual(chooseMode(report), {
      mode: 'stream',
      attach: 'tracepoint',
      reason: 'fentry refused (EPERM: load refused); kprobe refused (ENOENT); tracepoint works',
    });
    const polling = await helper(
      'poll',
      TRACEPOINT.replace('"tracepoint","ok":true', '"tracepoint","ok":false'),
    );
    assert.deepEqual(chooseMode(polling), {
      mode: 'poll',
      attach: null,
      reason:
        'fentry refused (EPERM: load refused); kprobe refused (ENOENT); ' +
        'tracepoint refused (no reason given); polling works',
    });
  });

  it('reports a helper that is missing, silent or broken', async () => {
    const missing = await probeHelper(join(directory, 'none'));
    assert.match(missing.problem ?? '', /no helper at .*none: build it with make build/);
    assert.deepEqual(chooseMode(missing), {
      mode: null,
      attach: null,
      reason: missing.problem,
    });
    const broken = await helper('broken', 'echo "no such option" >&2; exit 2');
    assert.equal(broken.problem, 'the helper reported nothing (no such option)');
    const silent = await helper('silent', 'exit 0');
    assert.equal(silent.problem, 'the helper reported nothing (no output)');
  });

  it('is readable', async () => {
    const report = await helper('good', TRACEPOINT);
    const text = renderDoctor(
      {
        helper: report,
        auto: chooseMode(report),
        cmdb: { ok: false, location: 'x', detail: 'CMDB unreachable\u001b[2J' },
        agent: { running: 'yes', pid: 42, detail: 'held', dataDir: '/d' },
      },
      PLAIN,
    );
    assert.deepEqual(text.split('\n').slice(0, 7), [
      'Ways to watch',
      '  no    fentry                    EPERM: load refused',
      '  no    kprobe                    ENOENT',
      '  ok    tracepoint',
      '  ok    poll',
      'Capabilities',
      '  ok    CAP_BPF',
    ]);
    assert.match(text, /^ {2}ok {4}auto: stream, tracepoint {2}fentry refused/m);
    assert.match(text, /^ {2}no {4}not usable {16}CMDB unreachable\\x1b\[2J$/m);
    assert.match(text, /^ {2}ok {4}running: yes \(pid 42\) {5}held$/m);
  });
});

describe('the agent lock', () => {
  const locks = [
    '1: POSIX  ADVISORY  WRITE 7 fe:01:99 0 EOF',
    '2: FLOCK  ADVISORY  WRITE 42 fe:01:99 0 EOF',
    '3: FLOCK  ADVISORY  WRITE 43 00:2f:77 0 EOF',
    '',
  ].join('\n');

  it('is looked up by device and inode', () => {
    const dev = (0xfe << 8) | 1;
    assert.deepEqual(readLocks(locks, { ino: 99, dev }, '/d/agent.lock'), {
      running: 'yes',
      pid: 42,
      detail: '/d/agent.lock is held',
    });
    assert.equal(readLocks(locks, { ino: 98, dev }, 'f').running, 'no');
    assert.equal(readLocks(locks, { ino: 77, dev }, 'f').running, 'unknown');
  });

  it('is not held where there is none, or by nobody', async () => {
    assert.equal((await agentState(directory)).running, 'no');
    await writeFile(join(directory, 'agent.lock'), '');
    assert.equal((await agentState(directory)).running, 'no');
    assert.equal((await agentState('/proc/self/cmdline')).running, 'unknown');
  });
});
