import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deferred } from '../../../src/bpf-ts-loader/deferred.ts';
import {
  AbiMismatchError,
  HelperDownError,
  HelperExitError,
  HelperStartError,
  HelperTimeoutError,
} from '../../../src/bpf-ts-loader/errors.ts';
import type { Frame } from '../../../src/bpf-ts-loader/frames.ts';
import type { Greeting } from '../../../src/bpf-ts-loader/greeting.ts';
import type { Helper, HelperEnd } from '../../../src/bpf-ts-loader/helper.ts';
import { BoundedQueue } from '../../../src/bpf-ts-loader/queue.ts';
import {
  HelperSupervisor,
  type SupervisorEvent,
  type SupervisorOptions,
} from '../../../src/bpf-ts-loader/supervisor.ts';
import { flowFrame, HELLO_FRAME, REFUSED_RUNG } from './fixtures/samples.ts';

/** A helper without a process. */
class FakeHelper implements Helper {
  readonly greeting = deferred<Greeting>();
  readonly end = deferred<HelperEnd>();
  readonly ready = this.greeting.promise;
  readonly ended = this.end.promise;
  readonly frames = new BoundedQueue<readonly Frame[]>(16, () => this.stop());
  readonly answer = deferred<never>();
  stops = 0;

  greet(): void {
    this.greeting.resolve({ hello: HELLO_FRAME, rungs: [REFUSED_RUNG] });
  }

  request(): Promise<never> {
    return this.answer.promise;
  }

  readonly acknowledged: bigint[] = [];

  acknowledge(generation: bigint): void {
    this.acknowledged.push(generation);
  }

  kill(reason: Error): void {
    this.greeting.reject(reason);
    this.frames.close(reason);
    this.end.resolve({ error: reason, exitCode: null, signal: 'SIGKILL' });
  }

  stop(): Promise<HelperEnd> {
    this.stops += 1;
    this.greeting.reject(new HelperDownError('stopped'));
    this.frames.close(null);
    this.end.resolve({ error: null, exitCode: 0, signal: null });
    return this.ended;
  }
}

/** Time moves only when a sleep is let go. */
class FakeClock {
  ms = 0;
  readonly sleeps: number[] = [];
  #wake = deferred<void>();

  now(): Date {
    return new Date(this.ms);
  }

  monotonicMs(): number {
    return this.ms;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    this.sleeps.push(ms);
    signal.addEventListener('abort', () => this.#wake.resolve());
    await this.#wake.promise;
    this.#wake = deferred<void>();
  }

  /** Lets the present sleep end. */
  wake(): void {
    this.ms += this.sleeps.at(-1) ?? 0;
    this.#wake.resolve();
  }
}

interface World {
  readonly clock: FakeClock;
  readonly helpers: FakeHelper[];
  readonly supervisor: HelperSupervisor;
  readonly next: () => Promise<IteratorResult<SupervisorEvent, undefined>>;
}

function world(spawn?: SupervisorOptions['spawn']): World {
  const clock = new FakeClock();
  const helpers: FakeHelper[] = [];
  const supervisor = new HelperSupervisor({
    helper: { path: 'helper' },
    clock,
    random: () => 0.5,
    spawn:
      spawn ??
      (async () => {
        const helper = new FakeHelper();
        helper.ready.catch(() => undefined);
        helpers.push(helper);
        return helper;
      }),
  });
  const iterator = supervisor.events[Symbol.asyncIterator]();
  const next = () => iterator.next() as Promise<IteratorResult<SupervisorEvent, undefined>>;
  return { clock, helpers, supervisor, next };
}

/** Lets all that is under way go as far as it can. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    await new Promise(setImmediate);
  }
}

function last(helpers: readonly FakeHelper[]): FakeHelper {
  const helper = helpers.at(-1);
  assert.ok(helper);
  return helper;
}

const DIED = new HelperExitError({ exitCode: 70, signal: null }, [], null);

describe('HelperSupervisor', () => {
  it('goes from stopped through starting to running, hands on frames, and stops', async () => {
    const { helpers, supervisor, next } = world();
    assert.equal(supervisor.state, 'stopped');
    await assert.rejects(supervisor.request('drain'), HelperDownError);
    supervisor.start();
    assert.equal(supervisor.state, 'starting');
    await settle();
    last(helpers).greet();
    assert.deepEqual((await next()).value, {
      kind: 'up',
      hello: HELLO_FRAME,
      rungs: [REFUSED_RUNG],
      restarts: 0,
    });
    assert.equal(supervisor.state, 'running');
    last(helpers).frames.push([flowFrame(1)]);
    assert.deepEqual((await next()).value, { kind: 'frames', frames: [flowFrame(1)] });
    last(helpers).frames.push([flowFrame(2)]);
    await supervisor.stop();
    assert.equal(supervisor.state, 'stopped');
    assert.deepEqual((await next()).value, { kind: 'frames', frames: [flowFrame(2)] });
    assert.deepEqual(await next(), { done: true, value: undefined });
    assert.equal(helpers.length, 1);
  });

  it('restarts a helper that died, later and later', async () => {
    const { clock, helpers, supervisor, next } = world();
    supervisor.start();
    for (let restarts = 0; restarts < 10; restarts++) {
      await settle();
      last(helpers).greet();
      const up = await next();
      assert.ok(up.value?.kind === 'up');
      assert.equal(up.value.restarts, restarts);
      last(helpers).kill(DIED);
      const down = await next();
      assert.ok(down.value?.kind === 'down');
      assert.equal(supervisor.state, 'backing-off');
      assert.deepEqual([down.value.reason, down.value.at], [DIED, clock.now()]);
      await settle();
      assert.equal(down.value.retryInMs, clock.sleeps.at(-1));
      clock.wake();
    }
    assert.deepEqual(
      clock.sleeps,
      [150, 300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 22_500, 22_500],
    );
    await supervisor.stop();
  });

  it('takes a failure after a minute of health for a first one', async () => {
    const { clock, helpers, supervisor, next } = world();
    supervisor.start();
    for (const upMs of [0, 0, 59_999, 60_000, 0]) {
      await settle();
      last(helpers).greet();
      await next();
      clock.ms += upMs;
      last(helpers).kill(DIED);
      await next();
      await settle();
      clock.wake();
    }
    assert.deepEqual(clock.sleeps, [150, 300, 600, 150, 300]);
    await supervisor.stop();
  });

  it('backs off from a helper that ends before HELLO, too', async () => {
    const { clock, helpers, supervisor, next } = world();
    supervisor.start();
    await settle();
    last(helpers).kill(new HelperTimeoutError('HELLO', 10, false));
    const down = await next();
    assert.ok(down.value?.kind === 'down');
    assert.equal(down.value.retryInMs, 150);
    await settle();
    clock.wake();
    await settle();
    assert.equal(helpers.length, 2);
    await supervisor.stop();
  });

  it('tries again when there is no memory or process to be had', async () => {
    const spawn = () =>
      Promise.reject(new HelperStartError('helper', { cause: errnoError('EAGAIN') }));
    const { supervisor, next } = world(spawn);
    supervisor.start();
    const down = await next();
    assert.ok(down.value?.kind === 'down');
    assert.equal(down.value.retryInMs, 150);
    await supervisor.stop();
  });

  const finals: readonly Error[] = [
    new AbiMismatchError('ABI version 2, not 1'),
    new HelperStartError('helper', { cause: errnoError('ENOENT') }),
    new HelperStartError('helper', { cause: errnoError('EACCES') }),
    new HelperExitError({ exitCode: 2, signal: null }, [], null),
    new HelperExitError({ exitCode: 3, signal: null }, [REFUSED_RUNG], null),
  ];
  for (const reason of finals) {
    it(`fails for good on: ${reason.message}`, async () => {
      const { clock, supervisor, next } = world(() => Promise.reject(reason));
      supervisor.start();
      const down = await next();
      assert.ok(down.value?.kind === 'down');
      assert.deepEqual([down.value.reason, down.value.retryInMs], [reason, null]);
      await assert.rejects(next(), reason);
      assert.equal(supervisor.state, 'failed');
      assert.deepEqual(clock.sleeps, []);
      await supervisor.stop();
      assert.equal(supervisor.state, 'failed');
    });
  }
});

function errnoError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

describe('HelperSupervisor.request', () => {
  it('replaces a helper that does not answer', async () => {
    const { helpers, supervisor, next } = world();
    supervisor.start();
    await settle();
    last(helpers).greet();
    await next();
    const silence = new HelperTimeoutError("answer to 'drain'", 10, false);
    last(helpers).answer.reject(silence);
    await assert.rejects(supervisor.request('drain'), silence);
    const down = await next();
    assert.ok(down.value?.kind === 'down');
    assert.equal(down.value.reason, silence);
    await assert.rejects(supervisor.request('drain'), HelperDownError);
    await supervisor.stop();
  });

  it('does not blame the helper when its frames were not read', async () => {
    const { helpers, supervisor, next } = world();
    supervisor.start();
    await settle();
    last(helpers).greet();
    await next();
    last(helpers).answer.reject(new HelperTimeoutError("answer to 'drain'", 10, true));
    await assert.rejects(supervisor.request('drain'), HelperTimeoutError);
    await settle();
    assert.equal(supervisor.state, 'running');
    await supervisor.stop();
  });
});

describe('HelperSupervisor.stop', () => {
  it('ends the stream before start, and start is refused then', async () => {
    const { supervisor, next } = world();
    await supervisor.stop();
    assert.deepEqual(await next(), { done: true, value: undefined });
    assert.throws(() => supervisor.start());
  });

  it('stops a helper that is just being started', async () => {
    const spawning = deferred<Helper>();
    const { supervisor, next } = world(() => spawning.promise);
    supervisor.start();
    const stopping = supervisor.stop();
    assert.equal(supervisor.state, 'stopping');
    const helper = new FakeHelper();
    spawning.resolve(helper);
    await stopping;
    assert.equal(helper.stops, 1);
    assert.deepEqual(await next(), { done: true, value: undefined });
    assert.equal(supervisor.state, 'stopped');
  });

  it('stops while the binary fails to start', async () => {
    const spawning = deferred<Helper>();
    const { supervisor, next } = world(() => spawning.promise);
    supervisor.start();
    const stopping = supervisor.stop();
    spawning.reject(new HelperStartError('helper', { cause: errnoError('ENOENT') }));
    await stopping;
    assert.deepEqual(await next(), { done: true, value: undefined });
    assert.equal(supervisor.state, 'stopped');
  });

  it('cuts a back-off short', async () => {
    const { helpers, supervisor, next } = world();
    supervisor.start();
    await settle();
    last(helpers).kill(DIED);
    await next();
    await settle();
    assert.equal(supervisor.state, 'backing-off');
    await supervisor.stop();
    assert.deepEqual(await next(), { done: true, value: undefined });
    assert.equal(supervisor.state, 'stopped');
    assert.equal(helpers.length, 1);
  });

  it('is what leaving the loop does', async () => {
    const { helpers, supervisor } = world();
    supervisor.start();
    await settle();
    last(helpers).greet();
    const other = new HelperSupervisor({
      helper: { path: 'helper' },
      spawn: async () => last(helpers),
    });
    other.start();
    for await (const event of other.events) {
      assert.equal(event.kind, 'up');
      break;
    }
    assert.equal(other.state, 'stopped');
    assert.equal(last(helpers).stops, 1);
    await supervisor.stop();
  });
});
