import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { backoffDelayMs, DEFAULT_BACKOFF } from '../../../src/bpf-ts-loader/backoff.ts';

const ALMOST_ONE = 1 - Number.EPSILON;

describe('backoffDelayMs', () => {
  it('doubles up to the cap', () => {
    const delays = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((failures) =>
      backoffDelayMs(failures, DEFAULT_BACKOFF, ALMOST_ONE),
    );
    assert.deepEqual(delays, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
  });

  it('lies between half of that and that', () => {
    assert.equal(backoffDelayMs(1, DEFAULT_BACKOFF, 0), 100);
    const numbers = fc.tuple(
      fc.integer({ min: 1, max: 1e9 }),
      fc.double({ min: 0, max: ALMOST_ONE }),
    );
    fc.assert(
      fc.property(
        numbers.filter(([, random]) => !Number.isNaN(random)),
        ([failures, random]) => {
          const bound = backoffDelayMs(failures, DEFAULT_BACKOFF, ALMOST_ONE);
          const delayMs = backoffDelayMs(failures, DEFAULT_BACKOFF, random);
          assert.ok(delayMs >= bound / 2 && delayMs <= bound);
          assert.ok(delayMs <= DEFAULT_BACKOFF.maxDelayMs);
        },
      ),
    );
  });
});
