import type { DoneFrame, Frame } from './frames.ts';
import type { Greeting } from './greeting.ts';
import type { RequestKind } from './requests.ts';

export interface HelperOptions {
  readonly path: string;
  readonly args?: readonly string[];
  /** The helper's whole environment, empty by default: ours may hold passwords. */
  readonly env?: Readonly<Record<string, string>>;
  /** Gets each line of the helper's stderr. */
  readonly onLog?: (line: string) => void;
  /** From start to HELLO, default 10 s. */
  readonly helloTimeoutMs?: number;
  /** From a request to its DONE, default 10 s. */
  readonly requestTimeoutMs?: number;
  /** How long stop() waits after closing stdin, then after SIGTERM; defaults 1.5 s and 1 s. */
  readonly stopGraceMs?: number;
  readonly termGraceMs?: number;
  /** How long to wait for the kernel to end the process after SIGKILL, default 500 ms. */
  readonly killGraceMs?: number;
}

/** How a helper ended. `error` is null exactly when it was stopped on request. */
export interface HelperEnd {
  readonly error: Error | null;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RequestOptions {
  readonly timeoutMs?: number;
  /**
   * Of a snapshot: look for the owners of all listening sockets anew, not only of new sockets. Dear
   * where owners are read from /proc.
   */
  readonly allOwners?: boolean;
  /** Of a snapshot: none follows it, so what the next one would tell better is told now. */
  readonly last?: boolean;
}

/** A running helper, as its user sees it. */
export interface Helper {
  /** Resolves with HELLO; rejects with the reason when the helper ends before it. */
  readonly ready: Promise<Greeting>;
  /**
   * All frames after HELLO, in order, a batch for each chunk read. To be iterated once; a slow
   * reader makes the helper wait. Ends when the helper was stopped, throws when it failed. Leaving
   * the loop early stops the helper.
   */
  readonly frames: AsyncIterable<readonly Frame[]>;
  /** Resolves, never rejects, when process and pipes are gone. */
  readonly ended: Promise<HelperEnd>;
  /**
   * Resolves with the DONE frame once the answer has come in. Its frames may then still wait in
   * `frames`: go on reading those meanwhile, and act on the DONE frame there when the order matters.
   * Rejects with HelperTimeoutError, or with why the helper ended.
   */
  request(kind: RequestKind, options?: RequestOptions): Promise<DoneFrame>;
  /**
   * What was reported up to this generation is kept elsewhere: a later helper need not tell it again.
   * Says nothing to a helper that is gone.
   */
  acknowledge(generation: bigint): void;
  /** Ends the helper at once, for `reason`. */
  kill(reason: Error): void;
  /** Closes stdin, then SIGTERM, then SIGKILL; takes at most the sum of the three grace times. */
  stop(): Promise<HelperEnd>;
}
