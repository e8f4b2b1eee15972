import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RecentMap } from '../../../src/process/recent-map.ts';

describe('RecentMap', () => {
  it('keeps the latest keys, and those that are looked up', () => {
    const map = new RecentMap<number, string>(3);
    for (let key = 0; key < 100; key++) {
      map.set(key, `value ${key}`);
      for (let kept = Math.max(0, key - 2); kept <= key; kept++) {
        assert.equal(map.get(kept), `value ${kept}`);
      }
    }
    for (let key = 100; key < 200; key++) {
      map.set(key, `value ${key}`);
      assert.equal(map.get(99), 'value 99');
    }
  });

  it('holds at most twice its capacity', () => {
    const map = new RecentMap<number, number>(10);
    for (let key = 0; key < 1_000; key++) map.set(key, key);
    const kept = Array.from({ length: 1_000 }, (_, key) => map.get(key)).filter(
      (value) => value !== undefined,
    );
    assert.ok(kept.length <= 20, `${kept.length} are kept`);
  });

  it('has the latest value of a key', () => {
    const map = new RecentMap<string, number>(2);
    for (const value of [1, 2, 3]) map.set('key', value);
    assert.equal(map.get('key'), 3);
    map.set('other', 1);
    map.set('third', 1);
    map.set('key', 4);
    assert.equal(map.get('key'), 4);
  });
});
