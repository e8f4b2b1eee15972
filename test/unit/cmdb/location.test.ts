import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type pg from 'pg';
import { type CmdbLocation, resolveCmdb } from '../../../src/cmdb/location.ts';
import { ExitCode, UserError } from '../../../src/common/exit-codes.ts';

function server(
  cmdb: string | undefined,
  env: Record<string, string> = {},
): Extract<CmdbLocation, { kind: 'server' }> {
  const location = resolveCmdb({ cmdb, env: { USER: 'alice', ...env }, dataDir: '/data' });
  assert.equal(location.kind, 'server');
  return location as Extract<CmdbLocation, { kind: 'server' }>;
}

function pick({ host, port, user, database, password, ssl }: pg.ClientConfig) {
  return { host, port, user, database, password, ssl };
}

function refused(cmdb: string | undefined, env: Record<string, string>, pattern: RegExp): void {
  assert.throws(
    () => resolveCmdb({ cmdb, env, dataDir: '/data' }),
    (error: unknown) => {
      assert.ok(error instanceof UserError);
      assert.equal(error.exitCode, ExitCode.usage);
      assert.match(error.message, pattern);
      assert.doesNotMatch(error.message, /\n|hunter2/);
      return true;
    },
  );
}

describe('resolveCmdb', () => {
  it('takes the option before TTRACER_CMDB before PG* before embedded', () => {
    const env = { TTRACER_CMDB: 'postgres://u@two/db', PGHOST: 'three' };
    assert.equal(server('postgres://u@one/db', env).config.host, 'one');
    assert.equal(server(undefined, env).config.host, 'two');
    assert.equal(server(undefined, { PGHOST: 'three' }).config.host, 'three');
    const embedded = { kind: 'embedded', dataDir: '/data' };
    assert.deepEqual(resolveCmdb({ cmdb: undefined, env: {}, dataDir: '/data' }), embedded);
    assert.deepEqual(resolveCmdb({ cmdb: 'embedded', env, dataDir: '/data' }), embedded);
    assert.deepEqual(resolveCmdb({ cmdb: 'none', env, dataDir: '/data' }), { kind: 'none' });
  });

  it('keeps the embedded CMDB in /var/lib/transtracer by default', () => {
    assert.deepEqual(resolveCmdb({ cmdb: undefined, env: {} }), {
      kind: 'embedded',
      dataDir: '/var/lib/transtracer',
    });
  });

  it('needs a PG* variable that names a server or database', () => {
    const env = { PGUSER: 'u', PGPASSWORD: 'p', PGPORT: '1' };
    assert.equal(resolveCmdb({ cmdb: undefined, env, dataDir: '/d' }).kind, 'embedded');
    assert.deepEqual(pick(server(undefined, { PGDATABASE: 'inventory' }).config), {
      host: '/var/run/postgresql',
      port: 5432,
      user: 'alice',
      database: 'inventory',
      password: undefined,
      ssl: false,
    });
    assert.equal(
      server(undefined, { PGHOST: 'h', PGHOSTADDR: '10.0.0.9' }).config.host,
      '10.0.0.9',
    );
  });

  it('reads every part of a URL', () => {
    const { config, display } = server('postgresql://bob:p%40ss%3A@db.example:6543/my%20db');
    assert.deepEqual(pick(config), {
      host: 'db.example',
      port: 6543,
      user: 'bob',
      database: 'my db',
      password: 'p@ss:',
      ssl: config.ssl,
    });
    assert.equal(display, 'postgres://bob@db.example:6543/my%20db');
  });

  it('reads IPv6 hosts and unix sockets, as a parameter or as the host', () => {
    const v6 = server('postgres://u@[2001:db8::1]/d');
    assert.equal(v6.config.host, '2001:db8::1');
    assert.equal(v6.display, 'postgres://u@[2001:db8::1]:5432/d');
    for (const url of [
      'postgres:///d?host=/run/pg&user=u',
      'postgres://u@/d?host=/run/pg',
      'postgres://u@%2Frun%2Fpg/d',
      'postgres://u:hunter2@/d?host=%2Frun%2Fpg',
    ]) {
      const { config, display } = server(url);
      assert.equal(config.host, '/run/pg', url);
      assert.equal(config.user, 'u', url);
      assert.equal(config.database, 'd', url);
      assert.equal(display, 'postgres://u@:5432/d?host=/run/pg', url);
    }
  });

  it('fills what a URL leaves open from PG* variables, as libpq does', () => {
    const env = { PGHOST: 'h', PGPORT: '77', PGUSER: 'carol', PGPASSWORD: 'hunter2' };
    const { config, display } = server('postgres:///d', env);
    assert.deepEqual(pick(config), {
      host: 'h',
      port: 77,
      user: 'carol',
      database: 'd',
      password: 'hunter2',
      ssl: config.ssl,
    });
    assert.doesNotMatch(display, /hunter2/);
  });

  it('uses no TLS over a unix socket', () => {
    const { config } = server('postgres://u@/d?host=/run&sslmode=require');
    assert.equal(config.ssl, false);
    assert.equal(config.sslFallback, undefined);
  });

  it('refuses nonsense in one line that names it, without the password', () => {
    refused('mysql://u:hunter2@h/d', {}, /--cmdb: 'mysql:.*postgres:\/\/ URL, embedded or none/);
    refused(undefined, { TTRACER_CMDB: 'yes' }, /TTRACER_CMDB: 'yes'/);
    refused('', {}, /--cmdb: ''/);
    refused('postgres://u:hunter2@h:99999/d', {}, /not a usable URL/);
    refused('postgres://u:hunter2@h/d?port=0', {}, /port '0'/);
    refused('postgres://u@h/d?password=hunter2&nope=1', {}, /parameter 'nope' is not known/);
    refused('postgres://u:hunter2@a,b/d', {}, /only one host/);
    refused('postgres://u:hunter2@a:1,b:2/d', {}, /only one host/);
    refused('postgres://u:hunter2%zz@h/d', {}, /hexadecimal/);
    refused('postgres://u@h/d?sslmode=on', {}, /sslmode 'on' is not one of disable, allow, prefer/);
    refused(undefined, { PGSERVICE: 'x' }, /PGSERVICE is not supported/);
    refused(undefined, { PGHOST: 'h', PGPORT: 'x' }, /port 'x'/);
  });
});
