import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AddressCache, formatAddress } from '../../../src/bpf-ts-loader/address.ts';
import { addressBytesArbitrary } from './fixtures/arbitraries.ts';
import { addressBytes } from './fixtures/encode.ts';
import { formatted } from './fixtures/formatted.ts';

function format(bytes: Uint8Array): string {
  return formatAddress(new DataView(bytes.buffer, bytes.byteOffset), 0);
}

describe('formatAddress', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::ffff:0.0.0.0', '0.0.0.0'],
    ['::ffff:255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['fe80::1:0:0:1', 'fe80::1:0:0:1'],
    // RFC 5952, 4.2.2: one zero group is not shortened
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    // RFC 5952, 4.2.3: the first of two equal runs
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    // IPv4-compatible and translated addresses are not IPv4
    ['::1.2.3.4', '::102:304'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['::fffe:1.2.3.4', '::fffe:102:304'],
    ['1::ffff:1.2.3.4', '1::ffff:102:304'],
  ];
  for (const [input, expected] of cases) {
    it(`writes ${input} as ${expected}`, () => {
      assert.equal(format(addressBytes(input)), expected);
    });
  }

  it("agrees with the platform's URL parser on any address", () => {
    fc.assert(
      fc.property(addressBytesArbitrary, (bytes) => {
        assert.equal(format(bytes), formatted(bytes));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('AddressCache', () => {
  it('gives the same text as formatAddress, whatever came before', () => {
    const cache = new AddressCache();
    fc.assert(
      fc.property(addressBytesArbitrary, (bytes) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        assert.equal(cache.format(view, 0), formatAddress(view, 0));
        assert.equal(cache.format(view, 0), formatAddress(view, 0));
      }),
      { numRuns: 2_000 },
    );
  });

  it('stays right when more addresses come than it has slots', () => {
    const cache = new AddressCache();
    const bytes = addressBytes('::ffff:10.0.0.0');
    const view = new DataView(bytes.buffer);
    for (let round = 0; round < 2; round++) {
      for (let n = 0; n < 20_000; n++) {
        view.setUint32(12, n);
        assert.equal(cache.format(view, 0), formatAddress(view, 0));
      }
    }
  });
});
