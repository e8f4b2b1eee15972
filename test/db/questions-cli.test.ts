import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { startTestPostgres, type TestPostgres, urlOf } from '../support/postgres.ts';
import { Chain } from './chain.ts';
import { at, writeWorld } from './query-world.ts';

const TTCTL = fileURLToPath(new URL('../../../bin/ttctl', import.meta.url));
const RANGE = ['--since', at(-30).toISOString(), '--until', at(30).toISOString()];
const BEFORE = ['--before', `${at(-60).toISOString()}..${at(-30).toISOString()}`];
const AFTER = ['--after', `${at(-30).toISOString()}..${at(30).toISOString()}`];

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let postgres: TestPostgres;
let config: pg.ClientConfig;
before(async () => {
  postgres = await startTestPostgres();
  config = await postgres.createDatabase();
  const chain = new Chain(['client', 'nginx', 'db', 'idle'])
    .connect('client', 'nginx')
    .connect('nginx', 'db');
  await writeWorld(config, [...chain.hosts.values()]);
});
after(async () => {
  await postgres.stop();
});

/** Runs `ttctl` as a user would, against the CMDB of these tests. */
async function ttctl(...argv: string[]): Promise<Outcome> {
  const { PATH = '' } = process.env;
  const env = { PATH, USER: 'test', TTRACER_CMDB: urlOf(config) };
  const child = spawn(process.execPath, [TTCTL, ...argv], { env });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

describe('questions on the command line', () => {
  it('impact and path answer in every format', async () => {
    const questions = [
      ['impact', 'process:db'],
      ['path', 'process:client', 'process:db'],
      ['retire', 'process:db'],
    ];
    for (const question of questions) {
      for (const format of ['tree', 'json', 'jsonl', 'dot', 'mermaid', 'csv']) {
        const outcome = await ttctl(...question, '--format', format, ...RANGE);
        assert.equal(outcome.stderr, '');
        assert.equal(outcome.code, question[0] === 'retire' ? 1 : 0);
        assert.match(outcome.stdout, /nginx/);
      }
    }
    const json = JSON.parse((await ttctl('impact', ':80', '--format', 'json', ...RANGE)).stdout);
    assert.equal(json.schema, 1);
    assert.ok('uncertain' in json.nodes[0]);
  });

  it('exits 1 for no path, no target, and what can not be retired; 0 for what can', async () => {
    const none = await ttctl('path', 'process:db', 'process:client', ...RANGE);
    assert.equal(none.code, 1);
    assert.match(none.stdout, /^no chain of dependencies from process:db to process:client/);
    assert.match(none.stdout, /# 2 of 2 hosts watched throughout the range/);
    for (const argv of [
      ['impact', ':81'],
      ['retire', ':81'],
      ['path', ':81', ':80'],
    ]) {
      const absent = await ttctl(...argv, ...RANGE);
      assert.equal(absent.code, 1);
      assert.match(absent.stderr, /^ttctl: no such target: nothing matches :81 [^\n]+\n$/);
    }
    const idle = await ttctl('retire', '10.0.0.4:80', ...RANGE);
    assert.equal(idle.code, 0, idle.stdout);
    assert.match(idle.stdout, /^NOT IN USE/m);
    const json = await ttctl('retire', 'process:db', '--format', 'json', ...RANGE);
    assert.equal(JSON.parse(json.stdout).verdict, 'in use');
  });

  it('diff exits 1 only for what --fail-on names', async () => {
    assert.equal((await ttctl('diff', ...BEFORE, ...AFTER)).code, 0);
    assert.equal((await ttctl('diff', ...BEFORE, ...AFTER, '--fail-on', 'gone,failed')).code, 0);
    const failing = await ttctl('diff', ...BEFORE, ...AFTER, '--fail-on', 'gone, new');
    assert.equal(failing.code, 1);
    assert.match(failing.stdout, /^\+ .*'client'.*'nginx'/m);
  });

  it('prune says in one line what it removed', async () => {
    const own = config;
    config = await postgres.createDatabase();
    try {
      await writeWorld(config, [...new Chain(['a', 'b']).connect('a', 'b').hosts.values()]);
      const outcome = await ttctl('prune', '--older-than', '1d');
      assert.equal(outcome.stderr, '');
      assert.match(
        outcome.stdout,
        /^removed 1 day of history, 2 flows, 2 listeners, .*, 2 hosts, older than \S+ \S+Z\n$/,
      );
    } finally {
      config = own;
    }
  });

  it('watch tells of new and used edges, and ends quietly at SIGINT', async () => {
    const own = await postgres.createDatabase();
    const now = Date.now();
    const minutes = Math.floor((now - at(0).getTime()) / 300_000) * 5;
    const times = { firstSeen: new Date(now - 1_000), lastSeen: new Date(now + 2_000) };
    const host = new Chain(['app', 'db']);
    const write = async (to: string, opened: number, firstSeen = times.firstSeen) => {
      host.connect('app', to, { ...times, firstSeen }, [{ at: minutes, opened }]);
      await writeWorld(own, [...host.hosts.values()]);
    };
    await write('app', 1, new Date(now - 60_000));
    const { PATH = '' } = process.env;
    const argv = [TTCTL, 'watch', '--interval', '500ms', '--format', 'jsonl', '--for', '60s'];
    const env = { PATH, USER: 'test', TTRACER_CMDB: urlOf(own) };
    const child = spawn(process.execPath, argv, { env });
    const closed = once(child, 'close');
    let [stdout, stderr] = ['', ''];
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdout.setEncoding('utf8');
    const events: { event: string; connections: number; passive: { process: string } }[] = [];
    const next = async (count: number): Promise<void> => {
      while (events.length < count) {
        const [text] = (await once(child.stdout, 'data')) as [string];
        stdout += text;
        const lines = stdout.split('\n').slice(0, -1);
        events.splice(0, events.length, ...lines.map((line) => JSON.parse(line)));
      }
    };
    await next(1);
    assert.equal(events[0]?.event, 'coverage');
    await write('db', 2, new Date(Date.now() + 1_000));
    await next(2);
    await write('app', 3, new Date(now - 60_000));
    await next(3);
    assert.deepEqual(
      events.slice(1).map(({ event, passive }) => [event, passive.process]),
      [
        ['new', 'db'],
        ['used', 'app'],
      ],
    );
    child.kill('SIGINT');
    const [code] = (await closed) as [number | null];
    assert.equal(code, 0);
    assert.equal(stderr, '');
  });

  it('watch ends by itself when it is told to', async () => {
    const outcome = await ttctl('watch', '--for', '600ms', '--interval', '500ms');
    assert.equal(outcome.code, 0);
    assert.equal(outcome.stderr, '');
    assert.match(outcome.stdout, /^# watching from [^\n]+\n(# [^\n]+\n)+$/);
  });

  it('refuses nonsense in one line, with 2', async () => {
    const wrong = [
      ['impact'],
      ['impact', 'nonsense'],
      ['impact', ':80', '--depth', '0'],
      ['path', ':80'],
      ['path', ':80', 'x'],
      ['retire'],
      ['diff'],
      ['diff', '--before', '7d..1d'],
      ['diff', '--before', '7d', '--after', '1d..'],
      ['diff', ...BEFORE, ...AFTER, '--fail-on', 'old'],
      ['diff', ...BEFORE, ...AFTER, '--fail-on', ''],
      ['prune'],
      ['watch', '--interval', '1ms'],
      ['watch', '--for', 'ever'],
      ['prune', '--older-than', '23h'],
      ['prune', '--older-than', '-1d'],
      ['prune', '--older-than', 'everything'],
    ];
    for (const argv of wrong) {
      const { code, stdout, stderr } = await ttctl(...argv);
      assert.equal(code, 2, argv.join(' '));
      assert.equal(stdout, '');
      assert.match(stderr, /^ttctl: [^\n]+\n$/);
    }
  });
});
