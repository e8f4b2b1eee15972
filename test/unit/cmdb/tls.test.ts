import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { planTls, type Tls, type TlsParameters } from '../../../src/cmdb/tls.ts';
import { ExitCode, UserError } from '../../../src/common/exit-codes.ts';

let home: string;
before(() => {
  home = mkdtempSync(join(tmpdir(), 'transtracer-test-'));
});
after(() => rmSync(home, { recursive: true }));

const plan = (parameters: TlsParameters, env: Record<string, string> = {}) =>
  planTls({ host: 'h', ...parameters }, { HOME: home, ...env }, '--cmdb');

/** What of a plan can be compared; whether a name is checked takes a server to tell. */
function bare(tls: Tls | undefined): object | false | undefined {
  if (!tls) return tls;
  const { checkServerIdentity: _, ...rest } = tls;
  return rest;
}

function refused(parameters: TlsParameters, pattern: RegExp): void {
  assert.throws(
    () => plan(parameters),
    (error: unknown) => {
      assert.ok(error instanceof UserError);
      assert.equal(error.exitCode, ExitCode.usage);
      assert.match(error.message, pattern);
      return true;
    },
  );
}

describe('planTls', () => {
  it('prefers TLS but takes plain text, unless told otherwise', () => {
    const unchecked = { rejectUnauthorized: false };
    for (const parameters of [{}, { sslmode: 'prefer' }]) {
      const { ssl, sslFallback } = plan(parameters);
      assert.deepEqual([bare(ssl), sslFallback], [unchecked, false]);
    }
    const allow = plan({ sslmode: 'allow' });
    assert.deepEqual([allow.ssl, bare(allow.sslFallback)], [false, unchecked]);
    assert.deepEqual(plan({ sslmode: 'disable' }), { ssl: false });
    const require = plan({ sslmode: 'require' });
    assert.deepEqual([bare(require.ssl), require.sslFallback], [unchecked, undefined]);
  });

  it('reads the files that parameters name', () => {
    const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => join(home, name));
    for (const path of [ca, cert, key]) writeFileSync(String(path), `of ${path}`);
    const { ssl } = plan({
      ...{ sslmode: 'verify-full', hostaddr: '10.0.0.9' },
      ...{ sslrootcert: String(ca), sslcert: String(cert), sslkey: String(key) },
    });
    assert.deepEqual(bare(ssl), {
      ca: `of ${ca}`,
      cert: `of ${cert}`,
      key: `of ${key}`,
      servername: 'h',
    });
    refused({ sslmode: 'require', sslrootcert: '/no/such' }, /can't read a TLS file.*no\/such/);
  });

  it("finds libpq's own files, and then checks the signer in every mode", () => {
    mkdirSync(join(home, '.postgresql'));
    try {
      writeFileSync(join(home, '.postgresql', 'root.crt'), 'ROOT');
      assert.deepEqual(bare(plan({ sslmode: 'verify-ca' }).ssl), { ca: 'ROOT' });
      assert.deepEqual(bare(plan({ sslmode: 'require' }).ssl), { ca: 'ROOT' });
      writeFileSync(join(home, '.postgresql', 'postgresql.crt'), 'CERT');
      writeFileSync(join(home, '.postgresql', 'postgresql.key'), 'KEY');
      assert.deepEqual(bare(plan({}).ssl), { ca: 'ROOT', cert: 'CERT', key: 'KEY' });
    } finally {
      rmSync(join(home, '.postgresql'), { recursive: true });
    }
  });

  it("trusts the system's authorities only where asked to, and then checks the name", () => {
    const SSL_CERT_FILE = join(home, 'system.crt');
    writeFileSync(SSL_CERT_FILE, 'SYSTEM');
    const { ssl, sslFallback } = plan({ sslrootcert: 'system' }, { SSL_CERT_FILE });
    assert.deepEqual([bare(ssl), sslFallback], [{ ca: 'SYSTEM' }, undefined]);
    refused({ sslrootcert: 'system', sslmode: 'require' }, /needs sslmode=verify-full/);
    refused({ sslmode: 'verify-full' }, /needs a certificate authority to trust: give sslrootcert/);
    refused({ sslmode: 'verify-ca' }, /needs a certificate authority/);
  });

  it('refuses other modes', () => {
    refused({ sslmode: 'on' }, /sslmode 'on' is not one of disable, allow, prefer, require/);
  });
});
