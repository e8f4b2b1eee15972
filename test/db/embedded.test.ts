import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { embeddedLayout } from '../../src/cmdb/embedded/layout.ts';
import { runningPostmaster } from '../../src/cmdb/embedded/postmaster-pid.ts';
import { type EmbeddedServer, findEmbedded } from '../../src/cmdb/embedded/server.ts';
import { CmdbWriter } from '../../src/cmdb/writer.ts';
import { ExitCode, UserError } from '../../src/common/exit-codes.ts';
import { batch } from '../support/batches.ts';
import {
  silentLog,
  startTestEmbedded,
  TEST_PG_BIN,
  temporaryDirectory,
  withClient,
} from '../support/postgres.ts';
import { eventually, processesWith, processStat } from '../support/processes.ts';

const IS_ROOT = process.geteuid?.() === 0;
const NOBODY = 65_534;

function isUserError(exitCode: ExitCode, pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof UserError, String(error));
    assert.equal(error.exitCode, exitCode, error.message);
    assert.match(error.message, pattern);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  };
}

describe('the embedded CMDB', () => {
  let dataDir = '';
  let servers: EmbeddedServer[] = [];
  let owners: ChildProcess[] = [];
  beforeEach(async () => {
    dataDir = await temporaryDirectory();
    servers = [];
    owners = [];
  });
  afterEach(async () => {
    for (const server of servers) await server.stop();
    for (const owner of owners) owner.kill('SIGKILL');
    await eventually(() => processesWith(dataDir).length === 0, { what: 'all processes gone' });
    await rm(dataDir, { recursive: true, force: true });
  });

  const cluster = () => embeddedLayout(dataDir, IS_ROOT).cluster;
  const postmaster = () => runningPostmaster(cluster());
  const start = async (): Promise<EmbeddedServer> => {
    const server = await startTestEmbedded(dataDir);
    servers.push(server);
    return server;
  };
  /** Starts the server from another process, which then waits for its end. */
  const spawnOwner = (credentials: { uid?: number; gid?: number } = {}): ChildProcess => {
    const module = new URL('../support/postgres.js', import.meta.url).href;
    const script = `
      import { startTestEmbedded } from ${JSON.stringify(module)};
      const server = await startTestEmbedded(${JSON.stringify(dataDir)});
      process.on('SIGTERM', () => server.stop().then(() => process.exit(0)));
      console.log('ready');
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
      ...credentials,
      cwd: '/',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    owners.push(owner);
    return owner;
  };
  const startOwner = async (credentials = {}): Promise<ChildProcess> => {
    const owner = spawnOwner(credentials);
    assert.ok(owner.stdout);
    await once(owner.stdout, 'data', { signal: AbortSignal.timeout(20_000) });
    return owner;
  };

  it('is created, stopped and started again with its data', async () => {
    const first = await start();
    assert.equal(first.adopted, false);
    await withClient(first.config, (client) => client.query('CREATE TABLE kept AS SELECT 1 AS x'));
    await first.stop();
    assert.equal(postmaster(), undefined);
    const second = await start();
    assert.equal(second.adopted, false);
    const { rows } = await withClient(second.config, (client) =>
      client.query('SELECT x FROM kept'),
    );
    assert.deepEqual(rows, [{ x: 1 }]);
  });

  it('listens on a unix socket only, as an unprivileged user, in a session of its own', async () => {
    const server = await start();
    const pid = postmaster();
    assert.ok(pid);
    assert.notEqual(statSync(`/proc/${pid}`).uid, 0);
    assert.equal(processStat(pid)[3], String(pid), 'Ctrl-C in our session does not reach it');
    const { rows } = await withClient(server.config, (client) =>
      client.query(
        "SELECT current_setting('listen_addresses') AS a, current_setting('fsync') AS f",
      ),
    );
    assert.deepEqual(rows, [{ a: '', f: 'on' }]);
    assert.equal(statSync(cluster()).mode & 0o777, 0o700);
  });

  it('takes nothing from PG* variables', async () => {
    process.env['PGOPTIONS'] = '-c search_path=nowhere';
    process.env['PGSSLMODE'] = 'require';
    try {
      const { config } = await start();
      const { rows } = await withClient(config, (client) => client.query('SHOW search_path'));
      assert.deepEqual(rows, [{ search_path: '"$user", public' }]);
    } finally {
      delete process.env['PGOPTIONS'];
      delete process.env['PGSSLMODE'];
    }
  });

  it('ends with its owner, even when that is killed', async () => {
    const owner = await startOwner();
    const pid = postmaster();
    assert.ok(pid);
    owner.kill('SIGKILL');
    await eventually(() => processesWith(dataDir).length === 0, { what: 'no PostgreSQL left' });
    assert.equal((await start()).adopted, false);
  });

  it('adopts a running server, leaves it running, and takes over when it ends', async () => {
    const owner = await startOwner();
    const pid = postmaster();
    const guest = await start();
    assert.equal(guest.adopted, true);
    await guest.stop();
    assert.equal(postmaster(), pid);
    const heir = await start();
    const writer = new CmdbWriter({ config: heir.config, log: silentLog });
    try {
      await writer.write(batch());
      owner.kill('SIGTERM');
      await once(owner, 'exit');
      await eventually(() => postmaster() !== undefined && postmaster() !== pid);
      const written = await eventually(() => writer.write(batch()).catch(() => undefined));
      assert.equal(written.flows, 1);
    } finally {
      await writer.close();
    }
  });

  it('is started again when it is killed', async () => {
    const server = await start();
    const pid = postmaster();
    assert.ok(pid);
    process.kill(pid, 'SIGKILL');
    await eventually(() => postmaster() !== undefined && postmaster() !== pid);
    const ask = () => withClient(server.config, (client) => client.query('SELECT 1'));
    await eventually(() => ask().catch(() => undefined));
  });

  it('is started once by several at the same time, also when it does not exist yet', async () => {
    const started = await Promise.all([start(), start(), start()]);
    assert.equal(started.filter(({ adopted }) => !adopted).length, 1);
    assert.deepEqual(
      readdirSync(join(dataDir, 'postgres')).filter((name) => name.startsWith('data')),
      ['data'],
    );
  });

  it('survives being killed in the middle of its creation', async () => {
    for (const delayMs of [150, 400, 700]) {
      const owner = spawnOwner();
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      owner.kill('SIGKILL');
      await once(owner, 'exit');
    }
    await start();
    assert.deepEqual(
      readdirSync(join(dataDir, 'postgres')).filter((name) => name.startsWith('data')),
      ['data'],
    );
  });

  it('takes a data directory whose path is too long for a socket', async () => {
    const parent = dataDir;
    dataDir = join(parent, 'd'.repeat(100));
    await mkdir(dataDir);
    const { socketDir } = embeddedLayout(dataDir, IS_ROOT);
    try {
      const { config } = await start();
      assert.equal(config.host, socketDir);
      await withClient(config, (client) => client.query('SELECT 1'));
    } finally {
      await servers[0]?.stop();
      rmSync(socketDir, { recursive: true, force: true });
      rmSync(parent, { recursive: true, force: true });
    }
  });

  it('is found by readers, who start it for as long as they need it', async () => {
    const expected = isUserError(ExitCode.cmdbSchema, /no CMDB in .*ttctl init/);
    await assert.rejects(findEmbedded(dataDir, silentLog, TEST_PG_BIN), expected);
    assert.equal(existsSync(join(dataDir, 'postgres')), false);
    await (await start()).stop();
    const found = await findEmbedded(dataDir, silentLog, TEST_PG_BIN);
    assert.equal(found.adopted, false);
    await found.stop();
    assert.equal(postmaster(), undefined);
  });

  it('refuses a cluster of another major version', async () => {
    await (await start()).stop();
    writeFileSync(join(cluster(), 'PG_VERSION'), '9\n');
    const expected = isUserError(ExitCode.cmdbUnreachable, /made by PostgreSQL 9, here is \d+/);
    await assert.rejects(start(), expected);
  });

  it('says why the server does not start', async () => {
    await (await start()).stop();
    rmSync(join(cluster(), 'global', 'pg_control'));
    await assert.rejects(
      start(),
      isUserError(ExitCode.cmdbUnreachable, /did not start .*pg_control/),
    );
  });

  it('refuses a data directory it can not write to', async () => {
    const file = join(dataDir, 'file');
    writeFileSync(file, '');
    const attempt = startTestEmbedded(join(file, 'below'));
    await assert.rejects(attempt, isUserError(ExitCode.unsupported, /can't write to the data dir/));
  });

  it('refuses a data directory its account can not reach', {
    skip: !IS_ROOT && 'needs root',
  }, async () => {
    chmodSync(dataDir, 0o700);
    const attempt = startTestEmbedded(join(dataDir, 'below', 'it'));
    await assert.rejects(
      attempt,
      isUserError(ExitCode.unsupported, /can't pass through .*--data-dir/),
    );
    assert.equal(statSync(dataDir).mode & 0o777, 0o700);
  });

  it('runs as the user who starts it', { skip: !IS_ROOT && 'every other test does' }, async (t) => {
    const credentials = { uid: NOBODY, gid: NOBODY };
    chownSync(dataDir, NOBODY, NOBODY);
    const owner = spawnOwner(credentials);
    assert.ok(owner.stdout);
    const [first] = await Promise.race([once(owner.stdout, 'data'), once(owner, 'exit')]);
    if (typeof first === 'number') return t.skip('another user can not read this checkout');
    const pid = postmaster();
    assert.ok(pid);
    assert.equal(statSync(`/proc/${pid}`).uid, NOBODY);
    assert.equal((await start()).adopted, true, 'root gets in');
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    await eventually(() => postmaster() !== undefined && postmaster() !== pid, {
      what: 'takeover',
    });
    assert.equal(statSync(`/proc/${postmaster()}`).uid, NOBODY, 'the owner of the cluster');
  });
});
