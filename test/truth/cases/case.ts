import type { Scene } from '../scene.ts';
import type { Rung } from '../watch.ts';

/**
 * What is expected of a rung that can't tell everything, and why it can't. The numbers are the most:
 * when a snapshot is taken is chance.
 */
export interface Limit {
  readonly why: string;
  /** Ends of connections that are not stored at all. */
  readonly missing?: number;
  /** Ends stored though they never were. */
  readonly invented?: number;
  /** Ends stored with another process than theirs. */
  readonly wrongProcess?: number;
}

/** `exact`: everything and nothing else. `unnamed`: so, but of some the process is not known. */
export type Expectation = 'exact' | 'unnamed' | Limit;

/** What a case does before the tracer starts, while it starts, and when it watches. */
export interface Steps {
  readonly before?: () => Promise<unknown>;
  readonly during?: () => Promise<unknown>;
  readonly run?: () => Promise<unknown>;
}

export interface Case {
  readonly name: string;
  /** By rung; where it says nothing, kernel events give all and polling all but some processes. */
  readonly expect?: Partial<Readonly<Record<Rung, Expectation>>>;
  /** Gives the reason when this kernel can't do it. */
  readonly unable?: () => string | null;
  /** Puts the case on stage; what it makes lives until the scene ends. */
  readonly play: (scene: Scene) => Steps;
}

export function expectationOf({ expect }: Case, rung: Rung): Expectation {
  return expect?.[rung] ?? (rung === 'poll' ? 'unnamed' : 'exact');
}
