import { type EdgeJson, edgesTo, type GraphJson } from '../support/commands.ts';
import type { Truth } from './load.ts';
import type { Sample } from './samples.ts';

export interface Check {
  readonly what: string;
  readonly ok: boolean;
  readonly found: string;
}

const MAX_GROWTH = 0.05;

/**
 * Did anything grow? Compares the medians of the first and the last third of what was sampled once
 * all was warm.
 */
export function checkGrowth(samples: readonly Sample[]): Check[] {
  const third = Math.max(1, Math.floor(samples.length / 3));
  const [early, late] = [samples.slice(0, third), samples.slice(-third)];
  const both = (of: (sample: Sample) => number) => [median(early.map(of)), median(late.map(of))];
  const grown = (what: string, of: (sample: Sample) => number, allowed: number): Check => {
    const [from = 0, to = 0] = both(of);
    return { what, ok: to <= from * (1 + allowed), found: `${from} to ${to}` };
  };
  return [
    grown('agent, resident KiB', (each) => each.agentRssKiB, MAX_GROWTH),
    grown('helper, resident KiB', (each) => each.helperRssKiB, MAX_GROWTH),
    grown('agent, descriptors', (each) => each.agentFds, 0),
    grown('helper, descriptors', (each) => each.helperFds, 0),
  ];
}

/** Has the CMDB what the clients did, to the last connection? */
export function checkCounts(truth: ReadonlyMap<number, Truth>, graph: GraphJson): Check[] {
  const wrong: string[] = [];
  let connections = 0;
  for (const [port, expected] of truth) {
    const edges = edgesTo(graph, port);
    const sum = (of: (edge: EdgeJson) => number) => edges.reduce((n, edge) => n + of(edge), 0);
    const found: Truth = {
      connections: sum((edge) => edge.connections),
      failed: sum((edge) => edge.failed),
      open: sum((edge) => edge.open),
    };
    connections += expected.connections;
    for (const name of ['connections', 'failed', 'open'] as const) {
      if (found[name] !== expected[name])
        wrong.push(`port ${port}: ${found[name]} ${name}, not ${expected[name]}`);
    }
  }
  const all = `all of ${connections} connections to ${truth.size} ports`;
  const found = wrong.length === 0 ? all : wrong.slice(0, 5).join('; ');
  return [{ what: 'counts', ok: wrong.length === 0, found }];
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
