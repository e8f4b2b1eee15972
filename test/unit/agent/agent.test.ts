import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Agent } from '../../../src/agent/agent.ts';
import type { WriteOutcome } from '../../../src/agent/cmdb-sink.ts';
import type { DoneFrame } from '../../../src/bpf-ts-loader/index.ts';
import { UserError } from '../../../src/common/exit-codes.ts';
import type { ReportedEvent } from '../../../src/events/event.ts';
import { losses, recordingLog } from './fakes.ts';

const NO_FLOWS = { all: 0, fresh: 0 };
const INTERVALS = { flushIntervalMs: 10_000, reconcileIntervalMs: 30_000, pollIntervalMs: 1_000 };
const STREAM = { mode: 'stream', attach: 'tracepoint', note: '' } as const;
const POLL = { mode: 'poll', attach: null, note: '' } as const;
const never = new Promise<never>(() => undefined);

function report(): ReportedEvent {
  return {
    kind: 'reported',
    atMs: 0,
    snapshot: true,
    partial: false,
    sockets: 0,
    namespaces: 1,
    losses: losses(),
    generation: 0n,
  };
}

/** An agent on mocked time; its helper answers at once unless told otherwise. */
function world(t: TestContext, { once = false, intervals = INTERVALS } = {}) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const calls: string[] = [];
  const { log, lines } = recordingLog();
  const fake = {
    answer: (): Promise<unknown> => Promise.resolve(),
    outcome: (): Promise<WriteOutcome> => Promise.resolve('written'),
    last: (): Promise<void> => Promise.resolve(),
    stopHelper: (): Promise<void> => Promise.resolve(),
    stopSink: (): Promise<void> => Promise.resolve(),
    /** There is nothing to write but that the host was watched. */
    isQuiet: false,
    /** What an answer tells was lost. */
    lost: 0n,
  };
  const agent: Agent = new Agent(
    {
      supervisor: {
        request: async (kind, options) => {
          calls.push(
            [options?.last ? 'last ' : '', kind, options?.allOwners ? ' of all' : ''].join(''),
          );
          await fake.answer();
          agent.reported(report(), fake.lost, NO_FLOWS);
          return undefined as unknown as DoneFrame;
        },
        stop: () => {
          calls.push('stop helper');
          return fake.stopHelper();
        },
      },
      namer: { sweep: () => undefined },
      flusher: {
        flush: async () => {
          calls.push('flush');
          return await fake.outcome();
        },
        get isQuiet() {
          return fake.isQuiet;
        },
        hold: () => {
          calls.push('hold');
        },
        keep: () => {
          calls.push('keep');
        },
        last: () => {
          calls.push('last');
          return fake.last();
        },
      },
      sink: {
        outage: null,
        stop: () => {
          calls.push('stop sink');
          return fake.stopSink();
        },
      },
      output: { flush: () => calls.push('print') },
      log,
    },
    { ...intervals, once, monotonicMs: () => Date.now(), random: () => 1 },
  );
  /** Lets time pass, in steps so that answers come in between. */
  const pass = async (ms: number) => {
    for (let passedMs = 0; passedMs < ms; passedMs += 50) {
      t.mock.timers.tick(Math.min(50, ms - passedMs));
      await settled();
    }
  };
  /** What was called since this was asked last. */
  const since = () => calls.splice(0);
  return { agent, fake, lines, pass, since };
}

async function settled(): Promise<void> {
  for (let n = 0; n < 10; n++) await Promise.resolve();
}

/** Streaming, with the first flush done. */
async function streaming(t: TestContext) {
  const all = world(t);
  const running = all.agent.start();
  running.catch(() => undefined); // looked at where it matters
  all.agent.watching(STREAM);
  await settled();
  assert.deepEqual(all.since(), ['snapshot of all', 'print', 'flush']);
  return { ...all, running };
}

describe('the agent', () => {
  it('writes what the first snapshot finds at once, and is ready then', async (t) => {
    const { agent, lines } = await streaming(t);
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ['ready'],
    );
    assert.equal(agent.lastWriteMs, Date.now());
    assert.equal(agent.watchingNow, STREAM);
  });

  it('streaming, drains and flushes at the interval, reconciles now and then', async (t) => {
    const { pass, since } = await streaming(t);
    await pass(9_900);
    assert.deepEqual(since(), []);
    await pass(200);
    assert.deepEqual(since(), ['drain', 'print', 'flush']);
    await pass(20_000);
    assert.deepEqual(since(), [
      ...['drain', 'print', 'flush'],
      ...['snapshot of all', 'print', 'flush'],
    ]);
  });

  it('tells the CMDB only now and then that nothing happened', async (t) => {
    const { fake, pass, since } = await streaming(t);
    const flushes = () => since().filter((call) => call === 'flush').length;
    fake.isQuiet = true;
    await pass(39_900);
    assert.equal(flushes(), 0);
    await pass(200);
    assert.equal(flushes(), 1);
    fake.isQuiet = false;
    await pass(10_000);
    assert.equal(flushes(), 1);
  });

  it('polling, takes a snapshot each poll interval', async (t) => {
    const { agent, pass, since } = world(t);
    void agent.start();
    agent.watching(POLL);
    await settled();
    since();
    await pass(3_100);
    assert.deepEqual(since(), ['snapshot', 'snapshot', 'snapshot']);
  });

  it('asks nothing while a report is under way, and what is due then after it', async (t) => {
    const { fake, pass, since } = await streaming(t);
    const [answered, answer] = pending();
    fake.answer = () => answered;
    await pass(35_000);
    assert.deepEqual(since(), ['drain']);
    fake.answer = () => Promise.resolve();
    answer();
    await settled();
    assert.deepEqual(since(), ['print', 'flush']);
    await pass(50);
    assert.deepEqual(since(), ['snapshot of all', 'print', 'flush']);
  });

  it('goes on after a report that never came', async (t) => {
    const { fake, pass, since } = await streaming(t);
    fake.answer = () => Promise.reject(new Error('silent'));
    await pass(10_050);
    assert.deepEqual(since(), ['drain']);
    fake.answer = () => Promise.resolve();
    await pass(10_050);
    assert.deepEqual(since(), ['drain', 'print', 'flush']);
  });

  it('does not begin a flush while another is under way, but after it', async (t) => {
    const { fake, pass, since } = await streaming(t);
    const [written, write] = pending<WriteOutcome>();
    fake.outcome = () => written;
    await pass(20_100);
    assert.deepEqual(since(), ['drain', 'print', 'flush', 'drain', 'print']);
    write('written');
    await settled();
    await pass(10_000);
    assert.deepEqual(since(), ['snapshot of all', 'print', 'flush']);
  });

  it('tries again while the CMDB is away', async (t) => {
    const { agent, fake, pass, since } = await streaming(t);
    const writtenMs = agent.lastWriteMs;
    fake.outcome = () => Promise.resolve('unavailable');
    const flushes = () => since().filter((call) => call === 'flush').length;
    const attempts: number[] = [];
    for (let second = 1; second <= 130; second++) {
      await pass(1_000);
      if (flushes() > 0) attempts.push(second);
    }
    assert.deepEqual(attempts, [10, 20, 40, 70, 100, 130]); // 10, 20, then 30 s later
    assert.equal(agent.lastWriteMs, writtenMs);
    fake.outcome = () => Promise.resolve('written');
    await pass(30_100);
    assert.equal(agent.lastWriteMs, Date.now() - 100);
    assert.equal(flushes(), 1);
    await pass(20_000);
    assert.equal(flushes(), 2); // at the interval again
  });

  it('drains the kernel and bounds what waits also between attempts', async (t) => {
    const { fake, pass, since } = await streaming(t);
    fake.outcome = () => Promise.resolve('maybe-written');
    await pass(20_100);
    since();
    await pass(10_000);
    assert.deepEqual(since(), ['snapshot of all', 'print', 'hold']);
  });

  it('is not ready before the CMDB has taken a flush', async (t) => {
    const { agent, fake, lines, pass } = world(t);
    fake.outcome = () => Promise.resolve('unavailable');
    void agent.start();
    agent.watching(STREAM);
    await pass(5_000);
    assert.equal(lines.length, 0);
    fake.outcome = () => Promise.resolve('written');
    await pass(20_000);
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ['ready'],
    );
  });

  it('hands everything to a replaced CMDB with the next report', async (t) => {
    const { agent, fake, since, pass } = world(t);
    void agent.start();
    agent.watching(POLL);
    await settled();
    since();
    fake.outcome = () => Promise.resolve('lost-all');
    await pass(9_950);
    since();
    await pass(100);
    fake.outcome = () => Promise.resolve('written');
    assert.deepEqual(since(), ['snapshot', 'print', 'flush']);
    await pass(1_000);
    assert.deepEqual(since(), ['snapshot', 'print', 'flush']);
    await pass(1_000);
    assert.deepEqual(since(), ['snapshot']);
  });

  it('takes a snapshot soon after losses, not one after the other without end', async (t) => {
    const { fake, pass, since } = await streaming(t);
    fake.lost = 1n;
    await pass(13_000); // the drain at 10 s tells
    const snapshots = since().filter((call) => call.startsWith('snapshot'));
    assert.deepEqual(snapshots, ['snapshot of all', 'snapshot of all', 'snapshot of all']);
  });

  it('goes on writing what waits while there is no helper', async (t) => {
    const { agent, pass, since } = await streaming(t);
    agent.blind();
    assert.equal(agent.watchingNow, null);
    await pass(20_100);
    assert.deepEqual(since(), ['flush', 'flush']);
    agent.watching(POLL);
    await settled();
    assert.deepEqual(since(), ['snapshot of all', 'print', 'flush']);
  });

  it('is not kept from a new helper by a request to the old one', async (t) => {
    const { agent, fake, pass, since } = await streaming(t);
    const [answered, , fail] = pending();
    fake.answer = () => answered;
    await pass(10_050);
    assert.deepEqual(since(), ['drain']);
    agent.blind();
    fake.answer = () => never;
    agent.watching(STREAM);
    assert.deepEqual(since(), ['snapshot of all']);
    fail(new Error('gone'));
    await pass(30_000);
    assert.deepEqual(since(), []); // still waits for the new one's answer
  });

  it('takes over changed intervals', async (t) => {
    const { agent, pass, since } = await streaming(t);
    agent.changeIntervals({ ...INTERVALS, flushIntervalMs: 1_000 });
    await pass(2_100);
    assert.deepEqual(since(), ['drain', 'print', 'flush', 'drain', 'print', 'flush']);
    assert.equal(agent.flushIntervalMs, 1_000);
  });

  it('ends when the CMDB can not be used', async (t) => {
    const { fake, pass, running } = await streaming(t);
    fake.outcome = () => Promise.reject(new UserError(5, 'newer'));
    await pass(10_050);
    await assert.rejects(running, { message: 'newer' });
  });
});

describe('the agent with --once', () => {
  it('is done after one written snapshot', async (t) => {
    const { agent, since } = world(t, { once: true });
    const running = agent.start();
    agent.watching({ ...POLL, mode: 'once' });
    await running;
    await agent.stop(Promise.resolve());
    assert.deepEqual(since(), [
      'snapshot of all',
      'print',
      'flush',
      'stop helper',
      'print',
      'stop sink',
    ]);
  });

  it('says so when the CMDB does not take it', async (t) => {
    const { agent, fake } = world(t, { once: true });
    fake.outcome = () => Promise.resolve('unavailable');
    const running = agent.start();
    agent.watching({ ...POLL, mode: 'once' });
    await assert.rejects(
      running,
      (error: unknown) => error instanceof UserError && error.exitCode === 4,
    );
  });
});

describe('stopping the agent', () => {
  it('takes a last report and writes it, then ends helper and sink', async (t) => {
    const { agent, since } = await streaming(t);
    await agent.stop(Promise.resolve());
    assert.deepEqual(since(), ['drain', 'stop helper', 'print', 'last', 'stop sink']);
  });

  it('polling, takes the last snapshot in full, so that no notice is left unjudged', async (t) => {
    const { agent, since, pass } = world(t);
    agent.start().catch(() => undefined);
    agent.watching(POLL);
    await pass(100);
    since();
    await agent.stop(Promise.resolve());
    assert.equal(since()[0], 'last snapshot of all');
  });

  it('asks for nothing where nobody watches', async (t) => {
    const { agent, since } = world(t);
    await agent.stop(Promise.resolve());
    assert.deepEqual(since(), ['stop helper', 'print', 'last', 'stop sink']);
  });

  it('ends the clockwork: nothing happens after it', async (t) => {
    const { agent, fake, pass, since } = await streaming(t);
    fake.lost = 1n; // would hasten a snapshot
    await agent.stop(Promise.resolve());
    since();
    agent.changeIntervals(INTERVALS);
    agent.reported(report(), 5n, NO_FLOWS);
    agent.watching(STREAM);
    agent.blind();
    await pass(60_000);
    assert.deepEqual(since(), []);
  });

  it('takes less than five seconds whatever hangs', async (t) => {
    const { agent, fake, pass } = await streaming(t);
    // As the real ones: each is bounded, or not at all.
    fake.answer = () => new Promise((_, reject) => setTimeout(reject, 1_200, new Error('late')));
    fake.last = () => new Promise((resolve) => setTimeout(resolve, 1_200));
    fake.stopHelper = () => never;
    fake.stopSink = () => never;
    const startedMs = Date.now();
    let tookMs = Number.POSITIVE_INFINITY;
    const stopping = agent.stop(never).then(() => {
      tookMs = Date.now() - startedMs;
    });
    await pass(6_000);
    await stopping;
    assert.ok(tookMs <= 4_600, `${tookMs} ms`);
  });

  it('survives whatever fails', async (t) => {
    const { agent, fake, since } = await streaming(t);
    const fail = () => Promise.reject(new Error('no'));
    Object.assign(fake, { answer: fail, stopHelper: fail, stopSink: fail });
    await agent.stop(fail());
    assert.deepEqual(since(), ['drain', 'stop helper', 'print', 'last', 'stop sink']);
  });

  it('writes nothing more to a CMDB that can not be used', async (t) => {
    const { agent, fake, pass, since } = await streaming(t);
    fake.outcome = () => Promise.reject(new UserError(5, 'newer'));
    await pass(10_050);
    since();
    await agent.stop(Promise.resolve());
    assert.deepEqual(since(), ['drain', 'stop helper', 'print', 'keep', 'stop sink']);
  });
});

function pending<T = void>(): [Promise<T>, (value: T) => void, (error: Error) => void] {
  let [settle, fail]: [(value: T) => void, (error: Error) => void] = [() => {}, () => {}];
  const promise = new Promise<T>((resolve, reject) => {
    [settle, fail] = [resolve, reject];
  });
  return [promise, settle, fail];
}
