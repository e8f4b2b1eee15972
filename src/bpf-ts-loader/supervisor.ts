import { type BackoffOptions, backoffDelayMs, DEFAULT_BACKOFF } from './backoff.ts';
import { type Clock, systemClock } from './clock.ts';
import {
  AbiMismatchError,
  HELPER_EXIT,
  HelperDownError,
  HelperExitError,
  HelperStartError,
  HelperTimeoutError,
} from './errors.ts';
import type { DoneFrame, Frame, HelloFrame, RungFrame } from './frames.ts';
import type { Helper, HelperOptions, RequestOptions } from './helper.ts';
import { HelperProcess } from './helper-process.ts';
import { BoundedQueue } from './queue.ts';
import type { RequestKind } from './requests.ts';

export type SupervisorState =
  | 'stopped'
  | 'starting'
  | 'running'
  | 'backing-off'
  | 'stopping'
  | 'failed';

export type SupervisorEvent =
  | {
      /** A helper said HELLO; frames follow. */
      readonly kind: 'up';
      readonly hello: HelloFrame;
      readonly rungs: readonly RungFrame[];
      /** Helpers started before this one. */
      readonly restarts: number;
    }
  | { readonly kind: 'frames'; readonly frames: readonly Frame[] }
  | {
      /** A helper ended unasked, or could not be started: nobody watches until the next `up`. */
      readonly kind: 'down';
      readonly reason: Error;
      readonly at: Date;
      /** When the next attempt is due; null when there will be none. */
      readonly retryInMs: number | null;
    };

export interface SupervisorOptions {
  readonly helper: HelperOptions;
  readonly backoff?: Partial<BackoffOptions>;
  readonly clock?: Clock;
  /** In [0, 1), default Math.random. */
  readonly random?: () => number;
  readonly spawn?: (options: HelperOptions) => Promise<Helper>;
}

/** Events that wait unread before reading from the helper pauses. */
const MAX_UNREAD_EVENTS = 16;

/** Errors of exec(2) that the next attempt would meet again. */
const FINAL_START_CODES: ReadonlySet<string> = new Set([
  'ENOENT',
  'EACCES',
  'ENOEXEC',
  'ENOTDIR',
  'ELOOP',
]);

/**
 * Keeps one helper running.
 *
 *     stopped --start()--> starting ----HELLO----> running
 *                          ^  |  |                 |    |
 *               delay over |  |  +--- it ended <---+    |
 *                          |  |            |            |
 *                     backing-off <--------+            |
 *                             |            | can't help to retry
 *      stop() in any of them: |            v            |
 *     stopped <-- stopping <--+          failed         |
 *                     ^---------------------------------+
 *
 * A helper "ended" when it died, could not be started, sent garbage, or left a request unanswered
 * for too long. Retrying can't help when the binary is missing or of another ABI version, and when
 * it says (by its exit code) that its arguments are wrong or that what they ask for can't be had here.
 * A supervisor runs once: after `stopped` or `failed` make another.
 */
export class HelperSupervisor {
  /**
   * What happens, in order; to be iterated once. A reader that lags makes the helper wait. Ends
   * after stop(), when all frames of the helper are read; throws the reason after a failure that is
   * final. Leaving the loop early stops the supervisor.
   */
  readonly events: AsyncIterable<SupervisorEvent>;

  readonly #options: SupervisorOptions;
  readonly #backoff: BackoffOptions;
  readonly #clock: Clock;
  readonly #queue = new BoundedQueue<SupervisorEvent>(MAX_UNREAD_EVENTS, () => this.stop());
  readonly #stop = new AbortController();
  #state: SupervisorState = 'stopped';
  #spawning: Promise<Helper> | null = null;
  #running: Helper | null = null;
  #started = false;
  #restarts = 0;
  #failures = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#backoff = { ...DEFAULT_BACKOFF, ...options.backoff };
    this.#clock = options.clock ?? systemClock;
    this.events = this.#queue;
  }

  get state(): SupervisorState {
    return this.#state;
  }

  /** Helpers started after the first one. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Starts the first helper; `events` tells how it goes. */
  start(): void {
    if (this.#started) {
      throw new Error('a supervisor can be started only once');
    }
    this.#started = true;
    void this.#run();
  }

  /**
   * Asks the running helper; see `Helper.request`. A helper that does not answer in time is replaced.
   * Rejects with HelperDownError when there is none.
   */
  async request(kind: RequestKind, options: RequestOptions = {}): Promise<DoneFrame> {
    const helper = this.#running;
    if (helper === null) {
      throw new HelperDownError(`no helper to ask for a ${kind}: ${this.#state}`);
    }
    try {
      return await helper.request(kind, options);
    } catch (error) {
      if (error instanceof HelperTimeoutError && !error.lagging) {
        helper.kill(error);
      }
      throw error;
    }
  }

  /** See `Helper.acknowledge`; says nothing while there is no helper. */
  acknowledge(generation: bigint): void {
    this.#running?.acknowledge(generation);
  }

  /** Stops the helper and any attempt to restart it. Resolves when the process is gone. */
  async stop(): Promise<void> {
    this.#started = true;
    if (this.#state === 'failed') {
      return;
    }
    this.#enter('stopping');
    this.#stop.abort();
    if (this.#spawning === null) {
      this.#queue.close(null);
    } else {
      const [spawned] = await Promise.allSettled([this.#spawning]);
      if (spawned.status === 'fulfilled') {
        await spawned.value.stop();
      }
    }
    this.#state = 'stopped';
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const reason = await this.#runOnce();
      if (this.#stop.signal.aborted) {
        break;
      }
      const retryInMs = isFinal(reason) ? null : this.#nextDelayMs();
      this.#enter(retryInMs === null ? 'failed' : 'backing-off');
      const told = this.#emit({ kind: 'down', reason, at: this.#clock.now(), retryInMs });
      if (retryInMs === null) {
        this.#queue.close(reason);
        return;
      }
      await Promise.all([told, this.#clock.sleep(retryInMs, this.#stop.signal)]);
      this.#restarts += 1;
    }
    this.#queue.close(null);
  }

  /** One helper from start to end; returns why it ended. */
  async #runOnce(): Promise<Error> {
    let upAtMs: number | null = null;
    try {
      this.#enter('starting');
      this.#spawning = (this.#options.spawn ?? HelperProcess.spawn)(this.#options.helper);
      const helper = await this.#spawning;
      const greeting = await helper.ready;
      upAtMs = this.#clock.monotonicMs();
      this.#running = helper;
      this.#enter('running');
      await this.#emit({ kind: 'up', ...greeting, restarts: this.#restarts });
      for await (const frames of helper.frames) {
        await this.#emit({ kind: 'frames', frames });
      }
      return new HelperDownError('the helper was stopped');
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    } finally {
      this.#running = null;
      this.#spawning = null;
      if (upAtMs !== null && this.#clock.monotonicMs() - upAtMs >= this.#backoff.healthyAfterMs) {
        this.#failures = 0;
      }
    }
  }

  #nextDelayMs(): number {
    this.#failures += 1;
    return backoffDelayMs(this.#failures, this.#backoff, (this.#options.random ?? Math.random)());
  }

  async #emit(event: SupervisorEvent): Promise<void> {
    this.#queue.push(event);
    await this.#queue.whenRoom();
  }

  /** stop() has the last word: what is still under way then changes the state no more. */
  #enter(state: SupervisorState): void {
    if (!this.#stop.signal.aborted) {
      this.#state = state;
    }
  }
}

function isFinal(reason: Error): boolean {
  return (
    reason instanceof AbiMismatchError ||
    (reason instanceof HelperStartError && FINAL_START_CODES.has(reason.code)) ||
    (reason instanceof HelperExitError &&
      (reason.exitCode === HELPER_EXIT.badArguments || reason.exitCode === HELPER_EXIT.unsupported))
  );
}
