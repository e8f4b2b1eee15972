import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { type CmdbLocation, resolveCmdb } from '../../src/cmdb/location.ts';
import { initCmdb, openReader } from '../../src/cmdb/reader.ts';
import { ExitCode, UserError } from '../../src/common/exit-codes.ts';
import {
  startTestPostgres,
  TEST_PG_BIN,
  type TestPostgres,
  temporaryDirectory,
} from '../support/postgres.ts';

const LIMIT_MS = 6_000;

function at(url: string): CmdbLocation {
  return resolveCmdb({ cmdb: url, env: {} });
}

async function refusal(location: CmdbLocation, exitCode: ExitCode, pattern: RegExp): Promise<void> {
  const startedMs = performance.now();
  await assert.rejects(openReader(location), (error: unknown) => {
    assert.ok(error instanceof UserError, String(error));
    assert.equal(error.exitCode, exitCode, error.message);
    assert.match(error.message, pattern);
    assert.doesNotMatch(error.message, /\n|hunter2/);
    return true;
  });
  assert.ok(performance.now() - startedMs < LIMIT_MS, 'within 6 s');
}

describe('openReader', () => {
  let postgres: TestPostgres;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(() => postgres.stop());

  const location = async (migrated: boolean): Promise<CmdbLocation> => ({
    kind: 'server',
    config: await postgres.createDatabase({ migrated }),
    display: 'postgres://test',
  });

  it('opens a session that can not write and speaks UTC', async () => {
    const { client, close } = await openReader(await location(true));
    try {
      await assert.rejects(client.query('CREATE TABLE x (y int)'), /read-only/);
      const sql =
        "SELECT current_setting('TimeZone') AS tz, current_setting('statement_timeout') AS t";
      assert.deepEqual((await client.query(sql)).rows, [{ tz: 'UTC', t: '30s' }]);
    } finally {
      await close();
    }
  });

  it('exits 5 when there is no schema, and init makes it', async () => {
    const empty = await location(false);
    await refusal(empty, ExitCode.cmdbSchema, /not initialised: run ttctl init/);
    assert.ok((await initCmdb(empty)).applied.length > 0);
    assert.deepEqual((await initCmdb(empty)).applied, []);
    await (await openReader(empty)).close();
  });

  it('exits 4 when the database does not exist', async () => {
    const { config } = (await location(false)) as Extract<CmdbLocation, { kind: 'server' }>;
    const missing = {
      kind: 'server',
      config: { ...config, database: 'no' },
      display: 'd',
    } as const;
    await refusal(missing, ExitCode.cmdbUnreachable, /"no" does not exist.*createdb/);
  });

  it('exits 4 when nobody listens', async () => {
    const port = await unusedPort();
    const url = `postgres://u:hunter2@127.0.0.1:${port}/d`;
    await refusal(at(url), ExitCode.cmdbUnreachable, /ECONNREFUSED/);
    await refusal(at('postgres:///d?host=/nonexistent&user=u'), ExitCode.cmdbUnreachable, /ENOENT/);
    await refusal(
      at('postgres://u@no-such-host.invalid/d'),
      ExitCode.cmdbUnreachable,
      /no-such-host/,
    );
  });

  it('exits 4 in time when a server accepts and says nothing, with and without TLS', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined));
    const port = await listen(server);
    try {
      const silent = [
        `postgres://u@127.0.0.1:${port}/d`,
        `postgres://u@127.0.0.1:${port}/d?sslmode=require`,
      ];
      await Promise.all(
        silent.map((url) => refusal(at(url), ExitCode.cmdbUnreachable, /no answer within 4 s/)),
      );
    } finally {
      server.close();
    }
  });

  it('has nothing to ask with --cmdb none', async () => {
    await refusal({ kind: 'none' }, ExitCode.usage, /--cmdb none/);
  });

  it('starts an embedded CMDB for as long as it reads', {
    skip: TEST_PG_BIN && 'uses its own binaries',
  }, async () => {
    const dataDir = await temporaryDirectory();
    try {
      const embedded = resolveCmdb({ cmdb: 'embedded', env: {}, dataDir });
      await refusal(embedded, ExitCode.cmdbSchema, /no CMDB in/);
      assert.ok((await initCmdb(embedded)).applied.length > 0);
      const { client, close } = await openReader(embedded);
      assert.equal((await client.query('SELECT 1 FROM flows')).rowCount, 0);
      await close();
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function unusedPort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  server.close();
  await once(server, 'close');
  return port;
}
