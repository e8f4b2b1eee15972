/** Undoes what a test set up, in reverse, also when setting up failed half-way. */
export class Cleanup {
  readonly #steps: (() => Promise<unknown>)[] = [];

  /** Keeps a thing, and how to get rid of it. */
  keep<T>(thing: T, undo: (thing: T) => Promise<unknown>): T {
    this.#steps.push(() => undo(thing));
    return thing;
  }

  /** Takes all steps, then throws what any of them threw. */
  async run(): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      await step().catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0)
      throw new AggregateError(errors, `clean-up failed: ${errors.join('; ')}`);
  }
}
