/** What cannot be done is refused at once, in one line that names the value; see the exit codes. */
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Cleanup } from '../support/cleanup.ts';
import { Ttracerd, ttctl } from '../support/commands.ts';
import {
  startTestPostgres,
  type TestPostgres,
  temporaryDirectory,
  urlOf,
} from '../support/postgres.ts';
import { type Outcome, REPOSITORY, run, SKIP_UNLESS_ROOT } from '../support/run.ts';

const TTRACERD = join(REPOSITORY, 'bin', 'ttracerd');
/** From the command line to the refusal, on a busy machine. */
const QUICK_MS = 4_000;

/** The line for people; what the log says besides is JSON. */
function complaint({ stderr }: Outcome): string {
  const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
  assert.equal(lines.length, 1, stderr);
  return lines[0] ?? '';
}

function assertRefused(outcome: Outcome, command: string, code: number, names: RegExp): void {
  assert.equal(outcome.code, code, outcome.stderr);
  assert.equal(outcome.stdout, '');
  const line = complaint(outcome);
  assert.ok(line.startsWith(`${command}: `), line);
  assert.match(line, names);
  assert.doesNotMatch(outcome.stderr, /\bat .*\.[jt]s:\d+|Error:/);
  assert.ok(outcome.ms < QUICK_MS, `${outcome.ms} ms`);
}

const cleanup = new Cleanup();
let scratch: string;
before(async () => {
  scratch = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
  await mkdir(join(scratch, 'data'));
  await writeFile(join(scratch, 'plain-file'), '');
  await writeFile(join(scratch, 'not-json'), 'mode = poll\n');
  await writeFile(join(scratch, 'list'), '[]');
  await writeFile(join(scratch, 'unknown-key'), '{"mood": "poll"}');
  await writeFile(join(scratch, 'bad-value'), '{"flush-interval": "often"}');
  await writeFile(join(scratch, 'not-a-string'), '{"flush-interval": 5}');
});
after(() => cleanup.run());

/** Arguments, and what the refusal must name; PLACE stands for the directory of the files. */
const AGENT_USAGE: readonly (readonly [string, RegExp])[] = [
  ['--nonsense', /nonsense/],
  ['--mode', /mode/],
  ['stray', /stray/],
  ['--mode fast', /--mode: 'fast'.*auto, stream, poll/],
  ['--attach xdp', /--attach: 'xdp'.*fentry, kprobe, tracepoint/],
  ['--flush-interval 10', /--flush-interval: '10'.*10s/],
  ['--poll-interval -1s', /--poll-interval: '-1s'/],
  ['--reconcile-interval 1ms', /--reconcile-interval: '1ms' is too short/],
  ['--bucket 7m', /--bucket: '7m'/],
  ['--netns some', /--netns: 'some'.*all, own/],
  ['--host-id me', /--host-id: 'me'.*UUID/],
  ['--output xml', /--output: 'xml'.*jsonl/],
  ['--log-level loud', /--log-level: 'loud'/],
  ['--listen nowhere', /--listen: 'nowhere'/],
  ['--listen 127.0.0.1:99999', /--listen: '127\.0\.0\.1:99999'/],
  ['--listen 300.1.1.1:80', /--listen: '300\.1\.1\.1:80'/],
  ['--cmdb mysql://db/x', /--cmdb: 'mysql:\/\/db\/x'.*postgres:\/\//],
  ['--cmdb postgres://u:secret@h:port/d', /--cmdb: 'postgres:\/\/\*\*\*@h:port\/d'/],
  ['--config PLACE/absent', /--config .*absent/],
  ['--config PLACE/not-json', /--config .*not-json: .*JSON/],
  ['--config PLACE/list', /--config .*list: it must be a JSON object/],
  ['--config PLACE/unknown-key', /--config .*unknown-key: 'mood' is no option/],
  ['--config PLACE/bad-value', /--flush-interval: 'often'/],
  ['--config PLACE/not-a-string', /'flush-interval' must be a string/],
  ['--data-dir PLACE/plain-file', /data directory .*plain-file .*--data-dir/],
  ['--data-dir PLACE/plain-file/below', /data directory .*below/],
];

describe('ttracerd refuses', { skip: SKIP_UNLESS_ROOT }, () => {
  for (const [argv, names] of AGENT_USAGE) {
    it(argv, async () => {
      const words = argv.replaceAll('PLACE', scratch).split(' ');
      const outcome = await run(process.execPath, [
        TTRACERD,
        ...(words.includes('--data-dir') ? [] : ['--data-dir', join(scratch, 'data')]),
        ...(words.includes('--cmdb') ? [] : ['--cmdb', 'none']),
        ...words,
      ]);
      assertRefused(outcome, 'ttracerd', 2, names);
      assert.doesNotMatch(outcome.stderr, /secret/);
    });
  }

  it('a bad value in the environment', async () => {
    const env = { TTRACER_FLUSH_INTERVAL: 'often' };
    const outcome = await run(process.execPath, [TTRACERD], { env });
    assertRefused(outcome, 'ttracerd', 2, /'often'/);
  });

  it('a port in use', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const listen = `127.0.0.1:${address.port}`;
    const argv = ['--cmdb', 'none', '--data-dir', join(scratch, 'data'), '--listen', listen];
    const outcome = await run(process.execPath, [TTRACERD, ...argv]);
    server.close();
    assertRefused(
      outcome,
      'ttracerd',
      2,
      new RegExp(`--listen: .*127\\.0\\.0\\.1.*${address.port}`),
    );
  });

  it('a data directory where another agent works', async () => {
    const argv = ['--cmdb', 'none', '--data-dir', join(scratch, 'taken')];
    const first = new Ttracerd(argv);
    try {
      await first.ready();
      const second = await run(process.execPath, [TTRACERD, ...argv]);
      assertRefused(second, 'ttracerd', 2, /another ttracerd works on .*taken/);
      assert.ok(first.isRunning);
    } finally {
      await first.stop();
    }
    const third = new Ttracerd(argv);
    await third.ready().finally(() => third.stop());
  });
});

/** Runs the agent as a user without any privilege. */
function asNobody(argv: readonly string[]): Promise<Outcome> {
  const drop = ['--reuid=nobody', '--regid=nogroup', '--clear-groups', '--bounding-set=-all'];
  return run('setpriv', [...drop, process.execPath, TTRACERD, ...argv]);
}

describe('ttracerd without privileges', { skip: SKIP_UNLESS_ROOT }, () => {
  it('names what is missing, and what still works', async () => {
    const outcome = await asNobody(['--cmdb', 'none', '--data-dir', join(scratch, 'nobody')]);
    assertRefused(outcome, 'ttracerd', 3, /CAP_BPF.*CAP_PERFMON.*--mode poll/);
  });

  it('refuses a data directory that it cannot write', async () => {
    const argv = ['--mode', 'poll', '--cmdb', 'none', '--data-dir', join(scratch, 'data')];
    const outcome = await asNobody(argv);
    assertRefused(outcome, 'ttracerd', 2, /data directory .*data .*--data-dir/);
  });
});

describe('a CMDB of a newer version', { skip: SKIP_UNLESS_ROOT }, () => {
  let postgres: TestPostgres;
  let newer: string;
  let empty: string;
  before(async () => {
    postgres = cleanup.keep(await startTestPostgres(), (it) => it.stop());
    const config = await postgres.createDatabase();
    const insert = 'INSERT INTO schema_migrations (version, name, breaking) VALUES ($1, $2, true)';
    await postgres.query(config, insert, [9_999, 'from-the-future']);
    newer = urlOf(config);
    empty = urlOf(await postgres.createDatabase({ migrated: false }));
  });

  it('ends ttracerd with 5', async () => {
    // What it counted until then would wait, pinned, for a newer agent.
    const argv = ['--cmdb', newer, '--data-dir', join(scratch, 'data'), '--no-pin'];
    const outcome = await run(process.execPath, [TTRACERD, ...argv]);
    assertRefused(outcome, 'ttracerd', 5, /9999.*upgrade/);
  });

  it('ends ttctl with 5', async () => {
    assertRefused(await ttctl(['flows', '--cmdb', newer]), 'ttctl', 5, /9999.*upgrade/);
  });

  it('is told from one that is not set up', async () => {
    assertRefused(await ttctl(['flows', '--cmdb', empty]), 'ttctl', 5, /init/);
  });
});

const QUESTION_USAGE: readonly (readonly [string, RegExp])[] = [
  ['', /command/],
  ['depps :80', /"depps".*deps/],
  ['deps', /TARGET/],
  ['deps :0', /:0/],
  ['deps :99999', /99999/],
  ['deps 300.1.1.1', /300\.1\.1\.1/],
  ['deps process:', /process:/],
  ['deps colour:red', /colour:red/],
  ['deps :80 --depth 0', /--depth: "0"/],
  ['deps :80 --depth many', /--depth: "many"/],
  ['deps :80 --direction up', /direction.*up/i],
  ['deps :80 --format xml', /format.*xml/i],
  ['deps :80 --since yesterday', /--since.*yesterday/],
  ['deps :80 --until 5', /--until.*5/],
  ['flows --nonsense', /nonsense/],
  ['flows --cmdb nowhere', /--cmdb: 'nowhere'/],
  ['--ipv4 10.0.0.1 --dbhost h --dbport x', /--dbport: "x"/],
];

describe('ttctl refuses', () => {
  for (const [argv, names] of QUESTION_USAGE) {
    it(argv === '' ? 'no command' : argv, async () => {
      const words = argv.split(' ').filter((word) => word !== '');
      assertRefused(await ttctl(words), 'ttctl', 2, names);
    });
  }
});
