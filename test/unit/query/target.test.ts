import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ExitCode, UserError } from '../../../src/common/exit-codes.ts';
import { formatTarget, parseTarget } from '../../../src/query/target.ts';

describe('parseTarget', () => {
  const endpoints: readonly [string, string | null, number | null][] = [
    ['10.0.0.1', '10.0.0.1', null],
    [' 10.0.0.1:80 ', '10.0.0.1', 80],
    [':80', null, 80],
    ['::1', '::1', null],
    ['[::1]', '::1', null],
    ['[::1]:80', '::1', 80],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1', null],
    ['fe80::1:8080', 'fe80::1:8080', null],
    ['fe80::1%eth0', 'fe80::1', null],
    ['::ffff:10.0.0.1', '10.0.0.1', null],
    ['::FFFF:0a00:0001', '10.0.0.1', null],
    ['[::ffff:10.0.0.1]:80', '10.0.0.1', 80],
  ];
  for (const [text, address, port] of endpoints) {
    it(`reads '${text}'`, () => {
      assert.deepEqual(parseTarget(text), { kind: 'endpoint', address, port });
    });
  }

  it('reads names, colons and all', () => {
    assert.deepEqual(parseTarget('process:nginx: worker'), {
      kind: 'process',
      name: 'nginx: worker',
    });
    for (const kind of ['host', 'unit', 'container'] as const) {
      assert.deepEqual(parseTarget(`${kind}:x`), { kind, name: 'x' });
    }
  });

  const refused = ['', ':', ':0', ':65536', ':080808', '1.2.3', '1.2.3.4:', '1.2.3.4:x', '[::1]:0'];
  for (const text of [...refused, '[1.2.3.4]:80', '[::1', 'host:', 'pod:x', 'x:80', '1.2.3.4:-1']) {
    it(`refuses '${text}', naming it and the forms`, () => {
      assert.throws(
        () => parseTarget(text),
        (error) =>
          error instanceof UserError &&
          error.exitCode === ExitCode.usage &&
          error.message.includes(JSON.stringify(text)) &&
          error.message.includes('[IPV6]:PORT') &&
          !error.message.includes('\n'),
      );
    });
  }
});

describe('formatTarget', () => {
  for (const text of ['10.0.0.1', '10.0.0.1:80', ':80', '::1', '[::1]:80', 'unit:nginx.service']) {
    it(`gives '${text}' back`, () => {
      assert.equal(formatTarget(parseTarget(text)), text);
    });
  }
});
