import { runOk } from '../../test/support/run.ts';
import { churn, closedLoop, fixedRate, type Load, procs, type StartLoad, silence } from './load.ts';
import type { World } from './world.ts';

export interface Workload {
  readonly name: string;
  /** Besides `none`, which is measured twice in each round: the noise floor. */
  readonly conditions: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  readonly start: StartLoad;
  /** Whose connections are traced. */
  readonly side: 'server' | 'client';
  readonly allNetns?: true;
  /** Nobody is served: there is nothing to compare with `none`. */
  readonly alone?: true;
}

const LASTING = ['ss', 'stream', 'poll'];
const SHORT = ['bpftrace', 'stream', 'poll'];

/** Half of what this server can do: the open loop's latency is not the queue of a full server. */
const FIXED_RATE_PER_S = 6000;

function full(): readonly Workload[] {
  const server = { rounds: 5, seconds: 3, side: 'server' } as const;
  return [
    { ...server, name: 'keepalive-5000', conditions: LASTING, start: closedLoop(5000) },
    { ...server, name: 'keepalive-10000', conditions: LASTING, start: closedLoop(10_000) },
    {
      ...server,
      name: 'keepalive-19900',
      conditions: ['ss', 'iptables-estb', 'stream', 'poll'],
      start: closedLoop(19_900),
    },
    {
      ...server,
      name: 'fixed-rate-10000',
      conditions: ['ss', 'iptables-estb', 'conntrack', 'stream', 'poll'],
      start: fixedRate(10_000, FIXED_RATE_PER_S),
    },
    { ...server, name: 'churn-100', conditions: ['stream', 'poll'], start: churn(100) },
    { ...server, name: 'churn-1000', conditions: SHORT, start: churn(1000) },
    { ...server, name: 'churn-5000', conditions: SHORT, start: churn(5000) },
    {
      ...server,
      name: 'churn-10000',
      conditions: ['iptables-new', 'conntrack', 'tcpdump', ...SHORT],
      start: churn(10_000),
    },
    { ...server, name: 'churn-max', conditions: ['conntrack', 'stream'], start: churn(0) },
    { ...server, name: 'procs-100', conditions: ['stream'], start: procs(100), side: 'client' },
    {
      ...server,
      name: 'procs-500',
      conditions: ['ss', 'bpftrace', 'stream', 'poll'],
      start: procs(500),
      side: 'client',
    },
    {
      ...server,
      name: 'peers-50000',
      conditions: ['stream', 'poll'],
      seconds: 10,
      rounds: 2,
      start: churn(5000, 50_000),
      alone: true,
    },
    {
      ...server,
      name: 'idle',
      conditions: ['stream', 'poll'],
      seconds: 15,
      start: silence,
      alone: true,
      rounds: 3,
    },
    {
      ...server,
      name: 'netns-200',
      conditions: ['stream', 'poll'],
      rounds: 3,
      start: inManyNamespaces(200),
      alone: true,
      allNetns: true,
    },
  ];
}

/** The same workloads where they are cheap, once each: it shows that all works, not what it costs. */
function quick(): readonly Workload[] {
  const kept = new Set(['keepalive-19900', 'fixed-rate-10000', 'churn-10000', 'procs-500', 'idle']);
  return full()
    .filter(({ name }) => kept.has(name))
    .map((workload) => ({ ...workload, rounds: 1, seconds: Math.min(workload.seconds, 2) }));
}

export function workloads(isQuick: boolean): readonly Workload[] {
  return isQuick ? quick() : full();
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
