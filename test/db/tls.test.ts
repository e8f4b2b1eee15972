import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connect } from '../../src/cmdb/connection.ts';
import { CmdbUnavailable } from '../../src/cmdb/errors.ts';
import { resolveCmdb } from '../../src/cmdb/location.ts';
import { initCmdb, openReader } from '../../src/cmdb/reader.ts';
import { CmdbWriter } from '../../src/cmdb/writer.ts';
import { ExitCode } from '../../src/common/exit-codes.ts';
import { ttctl } from '../support/commands.ts';
import { silentLog } from '../support/postgres.ts';
import { startTlsPostgres, type TlsPostgres } from '../support/tls-postgres.ts';

let server: TlsPostgres;
before(async () => {
  server = await startTlsPostgres();
});
after(() => server?.stop());

type Parameters = Readonly<Record<string, string>>;

function urlOf(user: string, parameters: Parameters): string {
  const all = { host: server.address, user, dbname: server.database, ...parameters };
  return `postgres://?${new URLSearchParams(all)}`;
}

function locate(user: string, parameters: Parameters) {
  const location = resolveCmdb({ cmdb: urlOf(user, parameters), env: { HOME: '/nonexistent' } });
  assert.ok(location.kind === 'server');
  return location;
}

/** Connects as ttracerd and ttctl do. @returns whether the server says the session is encrypted */
async function encrypted(user: string, parameters: Parameters): Promise<boolean> {
  const { config } = locate(user, parameters);
  const connection = await connect(config, { timeoutMs: 5_000, applicationName: 'test' });
  try {
    const { rows } = await connection.client.query<{ ssl: boolean }>(
      'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    );
    return rows[0]?.ssl ?? false;
  } finally {
    await connection.close();
  }
}

/** `ttctl` must exit 4 and say why in one line; the agent must take the CMDB to be away. */
async function refused(user: string, parameters: Parameters, why: RegExp): Promise<void> {
  await assert.rejects(openReader(locate(user, parameters)), (error: Error) => {
    assert.equal((error as Error & { exitCode?: number }).exitCode, ExitCode.cmdbUnreachable);
    assert.match(error.message, why);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
  const writer = new CmdbWriter({ config: locate(user, parameters).config, log: silentLog });
  await assert.rejects(
    writer.connect(),
    (error) => error instanceof CmdbUnavailable && why.test(error.message),
  );
  await writer.close();
}

const named = (host: string): Parameters => ({ host, hostaddr: server.address });

describe('TLS by sslmode, as libpq does', () => {
  it('disable never encrypts', async () => {
    assert.equal(await encrypted('either', { sslmode: 'disable' }), false);
    await refused('tls_only', { sslmode: 'disable' }, /no encryption|SSL off/);
  });

  it('allow encrypts only where the server asks for it', async () => {
    assert.equal(await encrypted('either', { sslmode: 'allow' }), false);
    assert.equal(await encrypted('tls_only', { sslmode: 'allow' }), true);
  });

  it('prefer, the default, encrypts where the server can', async () => {
    assert.equal(await encrypted('either', {}), true);
    assert.equal(await encrypted('either', { sslmode: 'prefer' }), true);
    assert.equal(await encrypted('plain_only', { sslmode: 'prefer' }), false);
  });

  it('require encrypts, whoever signed the certificate', async () => {
    assert.equal(await encrypted('either', { sslmode: 'require' }), true);
    assert.equal(await encrypted('tls_only', { ...named('wrong.test'), sslmode: 'require' }), true);
    await refused('plain_only', { sslmode: 'require' }, /pg_hba\.conf/);
  });

  it('require checks who signed it once it was given a root certificate', async () => {
    const require = { sslmode: 'require' };
    assert.equal(await encrypted('either', { ...require, sslrootcert: server.authority }), true);
    const other = { ...require, sslrootcert: server.otherAuthority };
    await refused('either', other, /unable to verify|self.signed|issuer/);
  });

  it('verify-ca checks who signed it, but not for whom', async () => {
    const verify = { ...named('wrong.test'), sslmode: 'verify-ca' };
    assert.equal(await encrypted('either', { ...verify, sslrootcert: server.authority }), true);
    const other = { ...verify, sslrootcert: server.otherAuthority };
    await refused('either', other, /unable to verify|self.signed|issuer/);
  });

  it('verify-full also checks the name, or the address where no name was given', async () => {
    const verify = { sslmode: 'verify-full', sslrootcert: server.authority };
    assert.equal(await encrypted('either', { ...named(server.name), ...verify }), true);
    assert.equal(await encrypted('either', { host: server.address, ...verify }), true);
    assert.equal(
      await encrypted('either', { hostaddr: server.address, host: '', ...verify }),
      true,
    );
    await refused('either', { ...named('wrong.test'), ...verify }, /wrong\.test/);
    await refused('either', { host: server.otherAddress, ...verify }, /is not in the cert's list/);
    const other = { ...named(server.name), ...verify, sslrootcert: server.otherAuthority };
    await refused('either', other, /unable to verify|self.signed|issuer/);
  });

  it('does not take the authorities of the system for the right ones', async () => {
    const system = { ...named(server.name), sslrootcert: 'system' };
    await refused('either', system, /unable to verify|self.signed|issuer/);
  });

  it('shows a client certificate', async () => {
    const { clientCertificate: sslcert, clientKey: sslkey } = server;
    const parameters = { sslmode: 'require', sslcert, sslkey };
    assert.equal(await encrypted('by_certificate', parameters), true);
    await refused('by_certificate', { sslmode: 'require' }, /certificate/);
  });

  it('makes ttctl exit 4 with one line', async () => {
    const location = locate('either', {});
    await initCmdb(location);
    const verify = { sslmode: 'verify-full', sslrootcert: server.authority };
    const ask = (parameters: Parameters) =>
      ttctl(['hosts', '--cmdb', urlOf('either', parameters)], { env: { HOME: '/nonexistent' } });
    const wrong = await ask({ ...named('wrong.test'), ...verify });
    assert.equal(wrong.code, ExitCode.cmdbUnreachable);
    assert.match(wrong.stderr, /^ttctl: CMDB unreachable .*wrong\.test.*\n$/);
    assert.equal(wrong.stdout, '');
    assert.equal((await ask({ ...named(server.name), ...verify })).code, ExitCode.ok);
  });

  it('goes on in plain text only where that was allowed, against a server without TLS', async () => {
    await server.setTls(false);
    try {
      assert.equal(await encrypted('either', {}), false);
      assert.equal(await encrypted('either', { sslmode: 'allow' }), false);
      await refused('either', { sslmode: 'require' }, /does not support SSL/);
      const verify = { sslmode: 'verify-full', sslrootcert: server.authority };
      await refused('either', verify, /does not support SSL/);
    } finally {
      await server.setTls(true);
    }
  });
});
