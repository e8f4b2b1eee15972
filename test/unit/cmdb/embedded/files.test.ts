import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pgIdentConf, postgresqlConf } from '../../../../src/cmdb/embedded/config-files.ts';
import { embeddedLayout } from '../../../../src/cmdb/embedded/layout.ts';

describe('embeddedLayout', () => {
  it('keeps all below the data directory', () => {
    const layout = embeddedLayout('/var/lib/transtracer', true);
    assert.equal(layout.cluster, '/var/lib/transtracer/postgres/data');
    assert.equal(layout.socketDir, '/var/lib/transtracer/postgres/run');
  });

  it('puts the socket elsewhere when its path would not fit sockaddr_un', () => {
    for (let length = 60; length < 130; length++) {
      const dataDir = `/${'é'.repeat(length / 2)}`;
      const { socketDir, home } = embeddedLayout(dataDir, true);
      assert.ok(Buffer.byteLength(join(socketDir, '.s.PGSQL.5432')) <= 107);
      const fits = Buffer.byteLength(join(home, 'run', '.s.PGSQL.5432')) <= 107;
      assert.equal(socketDir.startsWith('/run/transtracer-'), !fits);
    }
  });

  it('is a function of the data directory', () => {
    const long = `/${'x'.repeat(100)}`;
    assert.equal(embeddedLayout(long, true).socketDir, embeddedLayout(`${long}/.`, true).socketDir);
    assert.notEqual(
      embeddedLayout(long, true).socketDir,
      embeddedLayout(`${long}y`, true).socketDir,
    );
  });
});

describe('configuration of the embedded server', () => {
  it('opens no TCP port and quotes the socket directory', () => {
    const conf = postgresqlConf(`/data, "it's"`, 15);
    assert.match(conf, /^listen_addresses = ''$/m);
    assert.ok(conf.includes(`unix_socket_directories = '"/data, ""it''s"""'`));
    assert.doesNotMatch(conf, /io_method/);
    assert.match(postgresqlConf('/data', 18), /^io_method = sync$/m);
  });

  it('lets each user in once', () => {
    const lines = pgIdentConf(['root', 'transtracer', 'root']).trim().split('\n').slice(1);
    assert.deepEqual(lines, [
      'transtracer "root" transtracer',
      'transtracer "transtracer" transtracer',
    ]);
  });
});
