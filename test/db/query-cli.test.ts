import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { at, WorldHost, writeWorld } from './query-world.ts';

const TTCTL = fileURLToPath(new URL('../../../bin/ttctl', import.meta.url));
const RANGE = ['--since', at(-30).toISOString(), '--until', at(30).toISOString()];

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

/** Runs `ttctl` as a user would. `firstBytesOnly` closes its stdout as `head -c1` does. */
function ttctl(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  firstBytesOnly = false,
): Promise<Outcome> {
  const { PATH = '' } = process.env;
  const startedMs = performance.now();
  const child = spawn(process.execPath, [TTCTL, ...argv], { env: { PATH, USER: 'test', ...env } });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    if (firstBytesOnly) child.stdout.destroy();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) =>
      resolve({ code, stdout, stderr, ms: performance.now() - startedMs }),
    );
  });
}

let postgres: TestPostgres;
let config: pg.ClientConfig;
before(async () => {
  postgres = await startTestPostgres();
  config = await postgres.createDatabase();
  const client = new WorldHost('client-1', ['10.0.0.11']).process('wrk', { pgid: 5982 }).covered();
  const server = new WorldHost('web-1', ['10.0.0.10'])
    .process('nginx', { pgid: 4656 })
    .listen('nginx', '0.0.0.0', 80)
    .process('evil', { name: "e\u001b[2J\n'" })
    .listen('evil', '10.0.0.10', 6666)
    .covered();
  const flow = { active: '10.0.0.11', passive: '10.0.0.10', port: 80 } as const;
  client.flow({ ...flow, side: 'active', process: 'wrk', buckets: [{ opened: 123 }] });
  server.flow({ ...flow, side: 'passive', process: 'nginx', buckets: [{ opened: 123 }] });
  await writeWorld(config, [client, server]);
});
after(async () => {
  await postgres.stop();
});

function url({ host, port, user, database }: pg.ClientConfig): string {
  const parameters = { host: String(host), port: String(port), user: String(user) };
  return `postgres:///${database}?${new URLSearchParams(parameters)}`;
}

function assertOneLine({ stdout, stderr }: Outcome): void {
  assert.equal(stdout, '');
  assert.match(stderr, /^ttctl: [^\n]+\n$/);
  assert.doesNotMatch(stderr, /\bat .*\.js:\d+/);
}

describe('ttctl', () => {
  it("answers in the paper's form, with the paper's flags too", async () => {
    const plain = await ttctl(['deps', ':80', '--cmdb', url(config), ...RANGE]);
    assert.equal(plain.stderr, '');
    assert.equal(plain.code, 0);
    assert.deepEqual(
      plain.stdout
        .split('\n')
        .slice(0, 2)
        .map((line) => line.split('  ')[0]),
      ["10.0.0.10:80 ('nginx', pgid=4656)", "└<-- 10.0.0.11:many ('wrk', pgid=5982)"],
    );
    assert.ok(!plain.stdout.includes('\u001b'));
    const database = ['--dbhost', String(config.host), '--dbport', String(config.port)].concat(
      ['--dbuser', String(config.user), '--dbname', String(config.database)],
      ['--ipv4', '10.0.0.10', '--port', '80'],
    );
    const paper = await ttctl([...database, ...RANGE]);
    assert.equal(paper.stderr, '');
    const ageless = (text: string): string => text.replaceAll(/last \w+ ago/g, '');
    assert.equal(ageless(paper.stdout), ageless(plain.stdout));
  });

  it('takes the CMDB from the environment, and answers in JSON', async () => {
    const { code, stdout } = await ttctl(['deps', ':80', '--format', 'json', ...RANGE], {
      TTRACER_CMDB: url(config),
    });
    assert.equal(code, 0);
    const graph = JSON.parse(stdout);
    assert.equal(graph.edges[0].connections, 123);
    assert.deepEqual(
      graph.coverage.map(({ host }: { host: string }) => host),
      ['client-1', 'web-1'],
    );
  });

  it('lists, and escapes what it lists', async () => {
    const env = { TTRACER_CMDB: url(config) };
    for (const command of ['flows', 'hosts', 'listeners', 'coverage']) {
      const text = await ttctl([command, ...RANGE], env);
      assert.equal(text.code, 0, text.stderr);
      assert.match(text.stdout, /web-1/);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point
      assert.doesNotMatch(text.stdout, /[\u0000-\u0009\u000b-\u001f]/);
      const json = await ttctl([command, '--format', 'json', ...RANGE], env);
      assert.equal(JSON.parse(json.stdout).schema, 1);
      assert.equal((await ttctl([command, '--format', 'csv', ...RANGE], env)).code, 0);
    }
    const unused = await ttctl(['listeners', '--unused', '--format', 'jsonl', ...RANGE], env);
    assert.deepEqual(
      unused.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).port),
      [6666],
    );
  });

  it('exits 1 without such a target, and says whether anybody watched', async () => {
    const env = { TTRACER_CMDB: url(config) };
    const absent = await ttctl(['deps', ':81', ...RANGE], env);
    assert.equal(absent.code, 1);
    assertOneLine(absent);
    assert.match(absent.stderr, /no such target: nothing matches :81 .*\(2 hosts watched\)/);
    const unwatched = await ttctl(['deps', ':80', '--until', '2001-01-01'], env);
    assert.equal(unwatched.code, 1);
    assert.match(unwatched.stderr, /no host was watched/);
  });

  it('exits 2 on bad usage, without looking at the CMDB', async () => {
    const env = { TTRACER_CMDB: 'postgres://nobody@127.0.0.1:1/none' };
    const wrong = [
      [],
      ['frobnicate'],
      ['deps'],
      ['deps', 'nonsense'],
      ['deps', ':80', '--since', 'yesterday'],
      ['deps', ':80', '--depth', 'x'],
      ['deps', ':80', '--format', 'xml'],
      ['deps', ':80', '--cmdb', 'mysql://x'],
      ['deps', ':80', '--cmdb', 'none'],
      ['hosts', '--unknown'],
      ['--ipv4', 'nonsense'],
    ];
    for (const argv of wrong) {
      const outcome = await ttctl(argv, env);
      assert.equal(outcome.code, 2, argv.join(' '));
      assertOneLine(outcome);
    }
  });

  it('exits 4 in under 6 s when the CMDB is away or silent', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    assert.ok(address !== null && typeof address === 'object');
    try {
      for (const port of [1, address.port]) {
        const outcome = await ttctl(['hosts', '--cmdb', `postgres://x@127.0.0.1:${port}/x`]);
        assert.equal(outcome.code, 4);
        assertOneLine(outcome);
        assert.ok(outcome.ms < 6_000, `${outcome.ms} ms`);
      }
    } finally {
      silent.close();
    }
  });

  it('exits 5 without a schema; init sets it up, twice if need be', async () => {
    const cmdb = url(await postgres.createDatabase({ migrated: false }));
    const before = await ttctl(['hosts', '--cmdb', cmdb]);
    assert.equal(before.code, 5);
    assertOneLine(before);
    assert.match((await ttctl(['init', '--cmdb', cmdb])).stdout, /is set up/);
    assert.match((await ttctl(['init', '--cmdb', cmdb])).stdout, /is up to date/);
    assert.equal(
      (await ttctl(['hosts', '--cmdb', cmdb])).stdout,
      'no host reported in this range\n',
    );
  });

  it('ends quietly when nobody reads on', async () => {
    const env = { TTRACER_CMDB: url(config) };
    const outcome = await ttctl(['flows', '--format', 'json', ...RANGE], env, true);
    assert.equal(outcome.stderr, '');
    assert.equal(outcome.code, 0);
  });

  it('tells what this host can do even without a helper and a CMDB', async () => {
    const env = { TTRACER_HELPER: '/nonexistent/helper', TTRACER_DATA_DIR: '/nonexistent' };
    const text = await ttctl(['doctor'], env);
    assert.equal(text.code, 3);
    assert.equal(text.stderr, '');
    assert.match(text.stdout, /no helper at \/nonexistent\/helper/);
    const json = await ttctl(['doctor', '--format', 'json'], env);
    const report = JSON.parse(json.stdout);
    assert.equal(report.auto.mode, null);
    assert.equal(report.cmdb.ok, false);
    assert.equal(report.agent.running, 'no');
  });
});
