import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Half } from '../../../src/query/halves.ts';
import { addressRef } from '../../../src/query/node-ref.ts';
import { pairHalves } from '../../../src/query/pairing.ts';

const half = fc.record({
  side: fc.constantFrom<Half['side']>('A', 'P'),
  processId: fc.integer({ min: 0, max: 4 }).map(String),
  connections: fc.bigInt({ min: 0n, max: 5n }),
  failed: fc.bigInt({ min: 0n, max: 3n }),
  open: fc.bigInt({ min: 0n, max: 2n }),
});

const halves = fc
  .uniqueArray(half, { minLength: 1, selector: (it) => `${it.side}${it.processId}` })
  .map((list) =>
    list.map(
      (fields): Half => ({
        ...fields,
        failed: fields.side === 'A' ? fields.failed : 0n,
        hostId: 'h',
        edgeId: '1',
        scope: '',
        activeAddress: '10.0.0.1',
        passiveAddress: '10.0.0.2',
        passivePort: 80,
        foundBy: 1,
        bytesToPassive: 0n,
        bytesToActive: 0n,
        firstSeen: new Date(0),
        lastSeen: new Date(1),
      }),
    ),
  );

const unseenActive = addressRef(null, '10.0.0.1', '');
const unseenPassive = addressRef(null, '10.0.0.2', '');

function sum(values: readonly bigint[]): bigint {
  return values.reduce((total, value) => total + value, 0n);
}

describe('pairHalves', () => {
  it('never invents or multiplies counts, and hides no process', () => {
    fc.assert(
      fc.property(halves, (list) => {
        const links = pairHalves(list, unseenActive, unseenPassive);
        const total = sum(links.map((link) => link.connections));
        const bySide = (side: Half['side']): bigint =>
          sum(list.filter((it) => it.side === side).map((it) => it.connections));
        assert.ok(total === bySide('A') || total === bySide('P'));
        assert.equal(sum(links.map((link) => link.failed)), sum(list.map((it) => it.failed)));
        assert.equal(new Set(links.map((link) => link.key)).size, links.length);
        const shown = new Set(
          links.flatMap((link) => [`A${link.active.id}`, `P${link.passive.id}`]),
        );
        for (const { side, processId } of list) {
          const address = side === 'A' ? '@10.0.0.1' : '@10.0.0.2';
          const id = processId === '0' ? `h:0${address}` : `h:${processId}`;
          assert.ok(shown.has(`${side}${id}`), `${side}${id} is shown`);
        }
      }),
    );
  });
});
