import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { FrameDecoder } from './decoder.ts';
import { deferred, settlesWithin } from './deferred.ts';
import {
  FrameError,
  HELPER_EXIT,
  HelperDownError,
  HelperExitError,
  HelperStartError,
  HelperTimeoutError,
} from './errors.ts';
import { isNoProgram } from './executable.ts';
import type { DoneFrame, Frame } from './frames.ts';
import { explainGreetingError, type Greeting, GreetingReader } from './greeting.ts';
import type { Helper, HelperEnd, HelperOptions, RequestOptions } from './helper.ts';
import { LineSplitter } from './lines.ts';
import { BoundedQueue } from './queue.ts';
import {
  encodeAcknowledgement,
  encodeRequest,
  PendingRequests,
  type RequestKind,
} from './requests.ts';

/** Batches (of up to 64 KiB of frames each) that wait unread before the helper is made to wait. */
const MAX_UNREAD_BATCHES = 16;

/** How long a helper that has ended may keep its pipes open, e.g. through a child of its own. */
const PIPE_GRACE_MS = 1_000;

type Timeouts = Required<
  Pick<
    HelperOptions,
    'helloTimeoutMs' | 'requestTimeoutMs' | 'stopGraceMs' | 'termGraceMs' | 'killGraceMs'
  >
>;

const DEFAULTS: Timeouts = {
  helloTimeoutMs: 10_000,
  requestTimeoutMs: 10_000,
  stopGraceMs: 1_500,
  termGraceMs: 1_000,
  killGraceMs: 500,
};

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** One run of the helper binary. */
export class HelperProcess implements Helper {
  readonly ready: Promise<Greeting>;
  readonly frames: AsyncIterable<readonly Frame[]>;
  readonly ended: Promise<HelperEnd>;

  readonly #child: Child;
  readonly #options: HelperOptions & Timeouts;
  readonly #decoder = new FrameDecoder();
  readonly #greetingReader = new GreetingReader();
  readonly #requests = new PendingRequests();
  readonly #queue = new BoundedQueue<readonly Frame[]>(MAX_UNREAD_BATCHES, () => this.stop());
  readonly #greeting = deferred<Greeting>();
  readonly #exited = deferred<void>();
  readonly #end = deferred<HelperEnd>();
  readonly #helloTimer: NodeJS.Timeout;
  #greeted = false;
  #stopping = false;
  #finished = false;
  #failure: Error | null = null;
  #exit: Pick<HelperEnd, 'exitCode' | 'signal'> | null = null;
  #lastLog: string | null = null;
  #pauses = 0;

  /**
   * Starts the binary. It gets a session of its own, so that a Ctrl-C meant for us does not end it
   * before its last counts are asked for; it ends by itself when we are gone, by EOF on stdin.
   * @throws HelperStartError
   */
  static async spawn(options: HelperOptions): Promise<HelperProcess> {
    let child: Child;
    try {
      if (await isNoProgram(options.path)) {
        throw Object.assign(new Error('no program for this machine'), { code: 'ENOEXEC' });
      }
      child = spawn(options.path, options.args ?? [], {
        stdio: ['pipe', 'pipe', 'pipe'],
        env: { ...options.env },
        detached: true,
      });
      await once(child, 'spawn');
    } catch (cause) {
      throw new HelperStartError(options.path, { cause });
    }
    return new HelperProcess(child, options);
  }

  private constructor(child: Child, options: HelperOptions) {
    this.#child = child;
    this.#options = { ...DEFAULTS, ...options };
    this.ready = this.#greeting.promise;
    this.frames = this.#queue;
    this.ended = this.#end.promise;
    // Whoever only watches `ended` or `frames` learns the same reason there.
    this.ready.catch(() => undefined);
    const { helloTimeoutMs } = this.#options;
    this.#helloTimer = setTimeout(
      () => this.kill(new HelperTimeoutError('HELLO', helloTimeoutMs, false)),
      helloTimeoutMs,
    );
    this.#listen();
  }

  request(kind: RequestKind, options: RequestOptions = {}): Promise<DoneFrame> {
    const { stdin, stdout } = this.#child;
    if (!this.#greeted || this.#stopping || this.#failure !== null || this.#exit !== null) {
      return Promise.reject(new HelperDownError(`no helper to ask for a ${kind}`));
    }
    if (stdin.writableNeedDrain) {
      return Promise.reject(new HelperDownError('the helper does not read its requests'));
    }
    const pausesBefore = stdout.isPaused() ? -1 : this.#pauses;
    const { requestId, answer } = this.#requests.add(
      kind,
      options.timeoutMs ?? this.#options.requestTimeoutMs,
      () => this.#pauses !== pausesBefore,
    );
    stdin.write(encodeRequest(kind, requestId, options));
    return answer;
  }

  acknowledge(generation: bigint): void {
    const { stdin } = this.#child;
    // One that is left out is made up for by the next.
    if (this.#greeted && stdin.writable && !stdin.writableNeedDrain) {
      stdin.write(encodeAcknowledgement(generation));
    }
  }

  kill(reason: Error): void {
    if (this.#failure === null && !this.#finished) {
      this.#failure = reason;
      this.#requests.rejectAll(reason);
      this.#child.stdout.resume();
      this.#child.kill('SIGKILL');
      void this.#awaitKilled();
    }
  }

  stop(): Promise<HelperEnd> {
    if (!this.#stopping) {
      this.#stopping = true;
      void this.#windDown();
    }
    return this.ended;
  }

  async #windDown(): Promise<void> {
    this.#child.stdin.end();
    if (await settlesWithin(this.#exited.promise, this.#options.stopGraceMs)) {
      return;
    }
    this.#child.kill('SIGTERM');
    if (await settlesWithin(this.#exited.promise, this.#options.termGraceMs)) {
      return;
    }
    this.#child.kill('SIGKILL');
    await this.#awaitKilled();
  }

  /** A process in uninterruptible sleep outlives SIGKILL; it must not hold us up as well. */
  async #awaitKilled(): Promise<void> {
    if (!(await settlesWithin(this.#exited.promise, this.#options.killGraceMs))) {
      this.#failure ??= new HelperDownError(`process ${this.#child.pid} does not end on SIGKILL`);
      this.#child.unref();
      this.#finish();
    }
  }

  #listen(): void {
    const { stdin, stdout, stderr } = this.#child;
    const log = new LineSplitter((line) => {
      this.#lastLog = line;
      this.#options.onLog?.(line);
    });
    stderr.on('data', (chunk: Buffer) => log.push(chunk));
    stderr.on('end', () => log.end());
    stdout.on('data', (chunk: Buffer) => this.#read(chunk));
    stdout.on('end', () => void this.#afterOutput());
    // A helper that is gone breaks our writes; its exit tells more.
    stdin.on('error', () => undefined);
    for (const stream of [stdout, stderr, this.#child]) {
      stream.on('error', (error: Error) => this.kill(error));
    }
    this.#child.on('exit', (exitCode, signal) => {
      this.#exit = { exitCode, signal };
      this.#exited.resolve();
      // What is left in the pipe is bounded: read it, whether or not someone waits for it.
      stdout.resume();
      void this.#afterExit();
    });
    this.#child.on('close', () => this.#finish());
  }

  async #afterExit(): Promise<void> {
    if (!(await settlesWithin(this.ended, PIPE_GRACE_MS))) {
      this.#finish();
    }
  }

  /** A helper that closed its output but runs on is of no use. */
  async #afterOutput(): Promise<void> {
    if (!this.#stopping && !(await settlesWithin(this.#exited.promise, PIPE_GRACE_MS))) {
      this.kill(new HelperDownError('the helper closed its output'));
    }
  }

  #read(chunk: Buffer): void {
    if (this.#failure !== null) {
      return;
    }
    const batch: Frame[] = [];
    try {
      this.#decoder.push(chunk, (frame) => this.#accept(frame, batch));
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error));
      this.kill(this.#greeted ? reason : explainGreetingError(reason));
    }
    if (batch.length > 0) {
      this.#queue.push(batch);
      if (this.#queue.full && this.#failure === null && this.#exit === null) {
        this.#pauses += 1;
        this.#child.stdout.pause();
        void this.#queue.whenRoom().then(() => this.#child.stdout.resume());
      }
    }
  }

  #accept(frame: Frame, batch: Frame[]): void {
    if (!this.#greeted) {
      const greeting = this.#greetingReader.take(frame, this.#decoder.offset);
      if (greeting !== null) {
        this.#greeted = true;
        clearTimeout(this.#helloTimer);
        this.#greeting.resolve(greeting);
      }
      return;
    }
    if (frame.type === 'hello') {
      throw new FrameError(this.#decoder.offset, 'order', 'a second hello');
    }
    batch.push(frame);
    if (frame.type === 'done') {
      this.#requests.settle(frame);
    }
  }

  #finish(): void {
    if (this.#finished) {
      return;
    }
    this.#finished = true;
    clearTimeout(this.#helloTimer);
    const { stdin, stdout, stderr } = this.#child;
    for (const stream of [stdin, stdout, stderr]) {
      stream.destroy();
    }
    const exit = this.#exit ?? { exitCode: null, signal: null };
    const error = this.#failure ?? (this.#stopping ? null : this.#unaskedEnd(exit));
    const down = error ?? new HelperDownError('the helper was stopped');
    this.#greeting.reject(down);
    this.#requests.rejectAll(down);
    this.#queue.close(error);
    this.#end.resolve({ error, ...exit });
  }

  #unaskedEnd(exit: Pick<HelperEnd, 'exitCode' | 'signal'>): Error {
    if (exit.exitCode === HELPER_EXIT.ok) {
      try {
        this.#decoder.end();
      } catch (error) {
        if (error instanceof FrameError) {
          return error;
        }
        throw error;
      }
    }
    return new HelperExitError(exit, this.#greetingReader.rungs, this.#lastLog);
  }
}
