import { type Deferred, deferred } from './deferred.ts';

/**
 * An ordered queue from one producer to one consumer. It never refuses an item; a producer that
 * awaits `whenRoom()` after each push keeps it within its capacity.
 */
export class BoundedQueue<Item> implements AsyncIterable<Item> {
  readonly #capacity: number;
  readonly #onLeave: () => Promise<unknown>;
  readonly #items: Item[] = [];
  #taken = false;
  #end: { readonly error: Error | null } | null = null;
  #room: Deferred<void> | null = null;
  #arrival: Deferred<void> | null = null;

  /** @param onLeave called when the consumer leaves its loop before the end */
  constructor(capacity: number, onLeave: () => Promise<unknown>) {
    this.#capacity = capacity;
    this.#onLeave = onLeave;
  }

  get full(): boolean {
    return this.#items.length >= this.#capacity;
  }

  /** Adds an item; dropped once the queue is closed. */
  push(item: Item): void {
    if (this.#end === null) {
      this.#items.push(item);
      this.#arrival?.resolve();
    }
  }

  /** Resolves at once unless full; then when half of the items are consumed, or on close. */
  whenRoom(): Promise<void> {
    if (!this.full || this.#end !== null) {
      return Promise.resolve();
    }
    this.#room ??= deferred<void>();
    return this.#room.promise;
  }

  /** The consumer gets what is queued, then the end: an exception unless `error` is null. */
  close(error: Error | null): void {
    this.#end ??= { error };
    this.#arrival?.resolve();
    this.#giveRoom();
  }

  [Symbol.asyncIterator](): AsyncIterator<Item, undefined> {
    if (this.#taken) {
      throw new Error('this stream can be iterated only once');
    }
    this.#taken = true;
    return { next: () => this.#next(), return: () => this.#leave() };
  }

  async #next(): Promise<IteratorResult<Item, undefined>> {
    while (this.#items.length === 0 && this.#end === null) {
      this.#arrival ??= deferred<void>();
      await this.#arrival.promise;
      this.#arrival = null;
    }
    const item = this.#items.shift();
    if (item === undefined) {
      const error = this.#end?.error ?? null;
      this.#end = { error: null };
      if (error !== null) {
        throw error;
      }
      return { done: true, value: undefined };
    }
    if (this.#items.length <= this.#capacity / 2) {
      this.#giveRoom();
    }
    return { done: false, value: item };
  }

  async #leave(): Promise<IteratorResult<Item, undefined>> {
    this.close(null);
    this.#items.length = 0;
    await this.#onLeave();
    return { done: true, value: undefined };
  }

  #giveRoom(): void {
    this.#room?.resolve();
    this.#room = null;
  }
}
