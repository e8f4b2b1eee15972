/**
 * A map that forgets what was not looked up lately: it holds at least the `capacity` latest keys, and
 * at most twice as many. Nothing is moved at a look-up, as in a list of the least recently used,
 * which costs more than the look-up.
 */
export class RecentMap<Key, Value> {
  readonly #capacity: number;
  #recent = new Map<Key, Value>();
  #earlier = new Map<Key, Value>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(key: Key): Value | undefined {
    const recent = this.#recent.get(key);
    if (recent !== undefined) return recent;
    const earlier = this.#earlier.get(key);
    if (earlier !== undefined) this.set(key, earlier);
    return earlier;
  }

  set(key: Key, value: Value): void {
    if (this.#recent.size >= this.#capacity && !this.#recent.has(key)) {
      this.#earlier = this.#recent;
      this.#recent = new Map();
    }
    this.#recent.set(key, value);
  }
}
