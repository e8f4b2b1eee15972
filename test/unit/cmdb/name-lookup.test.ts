import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { killableLookup, parseAhosts } from '../../../src/cmdb/name-lookup.ts';

function lookUp(name: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    killableLookup(5_000)(name, { all: true }, (error, found) => {
      if (error) reject(error);
      else resolve(found);
    });
  });
}

describe('killableLookup', () => {
  it('finds the addresses of a name, each once', () => {
    const output =
      '::1             STREAM localhost\n::1             DGRAM\n127.0.0.1       STREAM\n';
    assert.deepEqual(parseAhosts(output), [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ]);
    assert.deepEqual(parseAhosts(''), []);
  });

  it('knows localhost', async () => {
    const found = (await lookUp('localhost')) as { readonly address: string }[];
    assert.ok(found.some(({ address }) => address === '127.0.0.1' || address === '::1'));
  });

  it('says that a name does not exist, and takes no name for an option', async () => {
    await assert.rejects(lookUp('no-such-host.invalid'), /can't look up no-such-host\.invalid/);
    await assert.rejects(lookUp('--help'), /can't look up --help/);
  });
});
