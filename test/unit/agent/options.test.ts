import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  OPTION_NAMES,
  type OptionSources,
  readConfigFile,
  resolveOptions,
  variableOf,
} from '../../../src/agent/options.ts';
import { UserError } from '../../../src/common/exit-codes.ts';

function resolve(sources: Partial<OptionSources>) {
  return resolveOptions({ argv: {}, env: {}, file: {}, ...sources });
}

function usage(message: string) {
  return (error: unknown) => {
    assert.ok(error instanceof UserError);
    assert.equal(error.message, message);
    assert.equal(error.exitCode, 2);
    return true;
  };
}

const directory = mkdtempSync(join(tmpdir(), 'ttracer-options-'));
after(() => rmSync(directory, { recursive: true }));

function configFile(text: string): string {
  const path = join(directory, 'config.json');
  writeFileSync(path, text);
  return path;
}

describe('options', () => {
  it('have the documented defaults', () => {
    assert.deepEqual(resolve({}), {
      mode: 'auto',
      attach: 'auto',
      cmdb: undefined,
      pollIntervalMs: 1_000,
      reconcileIntervalMs: 30_000,
      flushIntervalMs: 10_000,
      bucketMs: 300_000,
      netns: 'all',
      hostLocal: [],
      fleet: [],
      hostId: undefined,
      hostName: undefined,
      output: 'none',
      dataDir: '/var/lib/transtracer',
      logLevel: 'info',
      listen: null,
      once: false,
      retentionMs: null,
      pin: true,
    });
  });

  it('are taken from argv before the environment before the file', () => {
    const file = { mode: 'poll', netns: 'own', 'poll-interval': '2s' };
    const env = { TTRACER_MODE: 'stream', TTRACER_NETNS: 'all' };
    const { mode, netns, pollIntervalMs } = resolve({ argv: { mode: 'auto' }, env, file });
    assert.deepEqual(
      { mode, netns, pollIntervalMs },
      {
        mode: 'auto',
        netns: 'all',
        pollIntervalMs: 2_000,
      },
    );
  });

  it('have a variable each; an empty one is as good as none', () => {
    assert.equal(variableOf('poll-interval'), 'TTRACER_POLL_INTERVAL');
    const env = Object.fromEntries(OPTION_NAMES.map((name) => [variableOf(name), '']));
    assert.deepEqual(resolve({ env }), resolve({}));
    assert.equal(resolve({ env: { TTRACER_ONCE: 'true' } }).once, true);
    assert.equal(resolve({ env: { TTRACER_DATA_DIR: '/d' } }).dataDir, '/d');
    assert.equal(resolve({ env: { TTRACER_CMDB: 'none' } }).cmdb, 'none');
  });

  it('are refused when a rung is named that polling has no use for', () => {
    assert.throws(
      () => resolve({ argv: { mode: 'poll', attach: 'fentry' } }),
      usage("--attach: 'fentry' makes no sense with --mode poll; leave one of them out"),
    );
  });

  it('understand good values', () => {
    const hostId = 'ABCDEF01-0000-4000-8000-00000000000F';
    const options = resolve({
      argv: { 'host-id': hostId, listen: ':9464', bucket: '1h', once: 'true', retention: '30d' },
    });
    assert.equal(options.hostId, hostId.toLowerCase());
    assert.deepEqual(options.listen, { host: '127.0.0.1', port: 9464 });
    assert.equal(options.bucketMs, 3_600_000);
    assert.equal(options.once, true);
    assert.equal(options.retentionMs, 30 * 86_400_000);
  });

  const bad: readonly [string, string, string][] = [
    [
      'retention',
      '12h',
      "--retention: '12h' is less than a day, by which history is kept; use 30d",
    ],
    ['mode', 'x', "--mode: 'x' is not known; use one of auto, stream, poll"],
    ['attach', '', "--attach: '' is not known; use one of auto, fentry, kprobe, tracepoint"],
    ['netns', 'ALL', "--netns: 'ALL' is not known; use one of all, own"],
    ['output', 'json', "--output: 'json' is not known; use one of none, jsonl"],
    [
      'log-level',
      'loud',
      "--log-level: 'loud' is not known; use one of fatal, error, warn, info, debug, trace, silent",
    ],
    ['once', 'yes', "--once: 'yes' is not known; use one of true, false"],
    [
      'flush-interval',
      '10',
      "--flush-interval: '10' is not a duration; use a number and a unit, like 500ms, 10s, 5m, 2h or 7d",
    ],
    ['poll-interval', '99ms', "--poll-interval: '99ms' is too short; use 100ms or more"],
    // Node's timers would take 25 days for one millisecond.
    ['reconcile-interval', '25d', "--reconcile-interval: '25d' is too long; use 1d or less"],
    ['bucket', '7m', "--bucket: '7m' does not divide a day into whole seconds; use 1m, 5m or 1h"],
    [
      'bucket',
      '500ms',
      "--bucket: '500ms' does not divide a day into whole seconds; use 1m, 5m or 1h",
    ],
    ['bucket', '2d', "--bucket: '2d' does not divide a day into whole seconds; use 1m, 5m or 1h"],
    ['host-id', 'web-1', "--host-id: 'web-1' is not a UUID; use one like the output of uuidgen"],
    ['host-name', '', '--host-name: the value is empty; give one, or leave the option out'],
    ['data-dir', '', '--data-dir: the value is empty; give one, or leave the option out'],
    [
      'listen',
      'web:80',
      "--listen: 'web:80' is not an address; use IP:PORT, [IPV6]:PORT or :PORT for loopback",
    ],
  ];
  for (const [name, value, message] of bad) {
    it(`refuse --${name}=${value}`, () => {
      assert.throws(() => resolve({ argv: { [name]: value } }), usage(message));
    });
  }
});

describe('the configuration file', () => {
  it('is an object of option names', () => {
    const path = configFile('{"mode": "poll", "once": true}');
    assert.deepEqual(readConfigFile(path), { mode: 'poll', once: 'true' });
  });

  it('is refused when it has a key that is no option', () => {
    const path = configFile('{"mod": "poll"}');
    assert.throws(
      () => readConfigFile(path),
      usage(`--config ${path}: 'mod' is no option; there are ${OPTION_NAMES.join(', ')}`),
    );
    const inherited = configFile('{"toString": "x"}');
    assert.throws(() => readConfigFile(inherited), /'toString' is no option/);
  });

  it('is refused when a value is no string', () => {
    const path = configFile('{"flush-interval": 10}');
    assert.throws(
      () => readConfigFile(path),
      usage(`--config ${path}: the value of 'flush-interval' must be a string`),
    );
  });

  it('is refused in one line when it is no JSON object, or not there', () => {
    for (const text of ['[]', 'null', '"x"']) {
      const path = configFile(text);
      assert.throws(
        () => readConfigFile(path),
        usage(`--config ${path}: it must be a JSON object`),
      );
    }
    const cut = configFile('{"mode":\n\n');
    assert.throws(
      () => readConfigFile(cut),
      (error: unknown) => {
        assert.ok(error instanceof UserError && error.exitCode === 2);
        assert.match(error.message, /^--config .*; it must be a JSON object$/);
        return true;
      },
    );
    assert.throws(() => readConfigFile(join(directory, 'nowhere')), /ENOENT/);
  });
});
