import assert from 'node:assert/strict';
import type pg from 'pg';
import { type DepsOptions, queryDeps } from '../../src/query/deps.ts';
import type { Graph, GraphEdge } from '../../src/query/graph.ts';
import { parseTarget } from '../../src/query/target.ts';
import { withClient } from '../support/postgres.ts';
import { HOUR, WorldHost } from './query-world.ts';

/** Asks for the dependencies of a target, both ways and one level deep unless told otherwise. */
export function deps(
  config: pg.ClientConfig,
  target: string,
  { range = HOUR, ...options }: Partial<DepsOptions> & { range?: typeof HOUR } = {},
): Promise<Graph | null> {
  const asked = { direction: 'both', depth: 1, ...options } as const;
  return withClient(config, (client) => queryDeps(client, parseTarget(target), range, asked));
}

/** What a graph says, as sentences: names instead of ids. */
export function sentences(graph: Graph | null): string[] {
  assert.ok(graph, 'no such target');
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  assert.equal(nodes.size, graph.nodes.length, 'node ids are unique');
  const name = (id: string): string => {
    const node = nodes.get(id);
    assert.ok(node, `edge to a node that is not listed: ${id}`);
    return `${node.process ?? '?'}@${node.host ?? 'no agent'}`;
  };
  return graph.edges
    .map((edge) => `${name(edge.active)} > ${name(edge.passive)} ${said(edge)}`)
    .sort();
}

function said(edge: GraphEdge): string {
  const { passiveAddress, passivePort, connections, failed, open, seenBy, foundBy } = edge;
  const parts = [
    `${passiveAddress} ${passivePort}:`,
    `${connections}`,
    ...(failed > 0n ? [`failed ${failed}`] : []),
    ...(open > 0n ? [`open ${open}`] : []),
    seenBy,
    foundBy.join('+'),
    ...(edge.ambiguous ? ['ambiguous'] : []),
  ];
  return parts.join(' ');
}

export function web(): WorldHost {
  return new WorldHost('web-1', ['10.0.0.10'])
    .process('nginx', { pgid: 4656, unit: 'nginx.service' })
    .listen('nginx', '0.0.0.0', 80)
    .covered();
}

export const toWeb = { active: '10.0.0.11', passive: '10.0.0.10', port: 80 } as const;
