import { runOk } from '../../test/support/run.ts';
import { churn, closedLoop, fixedRate, type Load, procs, type StartLoad, silence } from './load.ts';
import type { World } from './world.ts';

export interface Workload {
  readonly name: string;
  /** Besides `none`. */
  readonly conditions: readonly string[];
  readonly rounds: number;
  /** Length of a measurement. */
  readonly seconds: number;
  /** Where it is another under some conditions. */
  readonly windows?: Readonly<Record<string, number>>;
  readonly start: StartLoad;
  /** From when a tracer has attached until it is measured, where that is longer: its start is over. */
  readonly settleSeconds?: number;
  /** What `start` takes beyond the hosts and their nginx, seconds. */
  readonly startSeconds?: number;
  /**
   * Hosts and clients are the same in all rounds: right where nothing remains of a measurement that
   * the next one meets, as with connections that last anyway.
   */
  readonly kept?: true;
  /** Whose connections are traced. */
  readonly side: 'server' | 'client';
  readonly allNetns?: true;
  /** `none` is measured so often in each round; the second time is the noise floor. */
  readonly none: 0 | 1 | 2;
  /** `stream` once more at the end, for `seconds`, with the kernel's clock of BPF programs. */
  readonly bpfTime?: true;
}

export function secondsUnder(workload: Workload, condition: string | undefined): number {
  return workload.windows?.[condition ?? 'none'] ?? workload.seconds;
}

/** Half of what this server can do: the open loop's latency is not the queue of a full server. */
const FIXED_RATE_PER_S = 6000;

const ROUNDS = 5;
const SERVER = { rounds: ROUNDS, seconds: 3, side: 'server', none: 2 } as const;
/** Nobody's latency is compared: `none` would say nothing. */
const ALONE = { ...SERVER, none: 0 } as const;

/**
 * A flush and a reconcile fall into every measurement: in a longer one more as by default, which is
 * what a goal for the cost in the long run is held against.
 */
const GROWTH = { stream: 6 } as const;
const LONG = { stream: 20 } as const;

const LASTING: readonly Workload[] = [
  {
    ...SERVER,
    name: 'keepalive-5000',
    conditions: ['ss', 'stream', 'poll'],
    seconds: 2,
    start: closedLoop(5000),
    startSeconds: 2,
    kept: true,
    none: 1,
  },
  {
    ...SERVER,
    name: 'keepalive-10000',
    conditions: ['ss', 'stream', 'poll'],
    seconds: 2,
    start: closedLoop(10_000),
    startSeconds: 3,
    kept: true,
    none: 1,
  },
  {
    ...SERVER,
    name: 'keepalive-19900',
    conditions: ['ss', 'iptables-estb', 'stream', 'poll'],
    windows: { ...LONG, poll: 20 },
    start: closedLoop(19_900),
    startSeconds: 6,
    kept: true,
    bpfTime: true,
  },
  {
    ...SERVER,
    name: 'fixed-rate-10000',
    conditions: ['ss', 'stream', 'poll'],
    start: fixedRate(10_000, FIXED_RATE_PER_S),
    startSeconds: 2,
    kept: true,
  },
];

const SHORT: readonly Workload[] = [
  {
    ...ALONE,
    name: 'churn-100',
    conditions: ['stream'],
    seconds: 2,
    windows: GROWTH,
    start: churn(100),
    bpfTime: true,
  },
  {
    ...SERVER,
    name: 'churn-1000',
    conditions: ['conntrack', 'stream'],
    seconds: 2,
    windows: GROWTH,
    start: churn(1000),
    bpfTime: true,
  },
  {
    ...ALONE,
    name: 'churn-5000',
    conditions: ['stream'],
    seconds: 2,
    windows: GROWTH,
    start: churn(5000),
    bpfTime: true,
  },
  {
    ...SERVER,
    name: 'churn-10000',
    conditions: ['iptables-new', 'conntrack', 'tcpdump', 'bpftrace', 'stream', 'poll'],
    seconds: 2,
    windows: GROWTH,
    start: churn(10_000),
    bpfTime: true,
  },
  { ...SERVER, name: 'churn-max', conditions: ['stream'], seconds: 2, start: churn(0), none: 1 },
  {
    ...ALONE,
    name: 'procs-100',
    conditions: ['stream'],
    seconds: 2,
    start: procs(100),
    side: 'client',
  },
  {
    ...ALONE,
    name: 'procs-500',
    conditions: ['bpftrace', 'stream'],
    seconds: 2,
    windows: GROWTH,
    start: procs(500),
    side: 'client',
    bpfTime: true,
  },
];

const MANY: readonly Workload[] = [
  {
    ...ALONE,
    name: 'idle',
    conditions: ['stream', 'poll'],
    rounds: 3,
    windows: LONG,
    settleSeconds: 15,
    start: silence,
    kept: true,
  },
  {
    ...ALONE,
    name: 'peers-10000',
    conditions: ['stream'],
    start: churn(5000, 10_000),
  },
  {
    ...ALONE,
    name: 'peers-50000',
    conditions: ['stream'],
    seconds: 6,
    start: churn(9000, 50_000),
  },
  {
    ...ALONE,
    name: 'netns-200',
    conditions: ['stream'],
    seconds: 2,
    start: inManyNamespaces(200),
    startSeconds: 4,
    kept: true,
    allNetns: true,
  },
];

/** The same workloads where they are cheap, once each: it shows that all works, not what it costs. */
const IN_QUICK = new Set([
  ...['keepalive-19900', 'fixed-rate-10000', 'churn-100', 'churn-10000'],
  ...['procs-500', 'peers-10000', 'idle'],
]);
const QUICK_SECONDS = 2;

export function workloads(isQuick: boolean): readonly Workload[] {
  const all = [...LASTING, ...SHORT, ...MANY];
  if (!isQuick) return all;
  return all
    .filter(({ name }) => IN_QUICK.has(name))
    .map((workload) => ({
      ...workload,
      ...{ rounds: 1, seconds: QUICK_SECONDS, windows: {}, settleSeconds: 0 },
    }));
}

/** Idle network namespaces beside the two hosts, as a machine full of containers has them. */
function inManyNamespaces(count: number): StartLoad {
  return async (world: World): Promise<Load> => {
    const names = Array.from({ length: count }, (_, index) => `${world.client}-${index}`);
    for (const name of names) await runOk('ip', ['netns', 'add', name]);
    const load = await churn(100)(world);
    return {
      ...load,
      stop: async () => {
        for (const name of names) await runOk('ip', ['netns', 'delete', name]);
      },
    };
  };
}
