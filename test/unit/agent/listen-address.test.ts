import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseListenAddress } from '../../../src/agent/listen-address.ts';
import { UserError } from '../../../src/common/exit-codes.ts';

describe('--listen', () => {
  for (const [text, host, port] of [
    ['10.0.0.1:9464', '10.0.0.1', 9464],
    ['[::1]:1', '::1', 1],
    ['localhost:65535', 'localhost', 65_535],
    [':9464', '127.0.0.1', 9464],
  ] as const) {
    it(`takes ${text}`, () => assert.deepEqual(parseListenAddress(text), { host, port }));
  }

  for (const text of [
    '',
    '9464',
    'web:80',
    '::1:80',
    '[::1]',
    '[web]:80',
    '10.0.0.1:0',
    ':65536',
    '10.0.0.256:80',
    ':+80',
    '127.0.0.1:80 ',
  ]) {
    it(`refuses '${text}'`, () => {
      assert.throws(
        () => parseListenAddress(text),
        (error: unknown) =>
          error instanceof UserError &&
          error.exitCode === 2 &&
          error.message ===
            `--listen: '${text}' is not an address; use IP:PORT, [IPV6]:PORT or :PORT for loopback`,
      );
    });
  }
});
