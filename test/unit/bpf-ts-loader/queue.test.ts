import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { settlesWithin } from '../../../src/bpf-ts-loader/deferred.ts';
import { BoundedQueue } from '../../../src/bpf-ts-loader/queue.ts';

const nothing = () => Promise.resolve();

async function collect<Item>(queue: BoundedQueue<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of queue) {
    items.push(item);
  }
  return items;
}

describe('BoundedQueue', () => {
  it('keeps order between a producer and a consumer of any pace', async () => {
    const queue = new BoundedQueue<number>(4, nothing);
    const reading = collect(queue);
    for (let n = 0; n < 100; n++) {
      queue.push(n);
      await queue.whenRoom();
      if (n % 7 === 0) {
        await new Promise(setImmediate);
      }
    }
    queue.close(null);
    assert.deepEqual(await reading, [...Array(100).keys()]);
  });

  it('delivers what is queued before the error, and the error once', async () => {
    const queue = new BoundedQueue<number>(4, nothing);
    queue.push(1);
    queue.close(new Error('gone'));
    queue.push(2);
    const iterator = queue[Symbol.asyncIterator]();
    assert.deepEqual(await iterator.next(), { done: false, value: 1 });
    await assert.rejects(iterator.next(), /gone/);
    assert.deepEqual(await iterator.next(), { done: true, value: undefined });
  });

  it('has room again when half of it is consumed', async () => {
    const queue = new BoundedQueue<number>(4, nothing);
    for (let n = 0; n < 4; n++) {
      queue.push(n);
    }
    assert.equal(queue.full, true);
    const room = queue.whenRoom();
    const iterator = queue[Symbol.asyncIterator]();
    await iterator.next();
    assert.equal(await settlesWithin(room, 10), false);
    await iterator.next();
    assert.equal(await settlesWithin(room, 1_000), true);
  });

  it('lets the producer go on when it is closed or left', async () => {
    let left = 0;
    const queue = new BoundedQueue<number>(1, async () => {
      left += 1;
    });
    queue.push(1);
    queue.push(2);
    const room = queue.whenRoom();
    for await (const item of queue) {
      assert.equal(item, 1);
      break;
    }
    await room;
    queue.push(3);
    assert.equal(queue.full, false);
    assert.equal(left, 1);
  });
});
