import type { CoverageInterval, Graph, GraphEdge, GraphNode } from '../../../src/query/graph.ts';

export const NOW = new Date('2025-06-01T12:00:00.000Z');

export function node(id: string, fields: Partial<GraphNode> = {}): GraphNode {
  return {
    id,
    hostId: 'h1',
    host: 'web-1',
    process: id,
    exe: null,
    unit: null,
    container: null,
    uid: null,
    pgid: null,
    addresses: [],
    ports: [],
    depth: 1,
    ...fields,
  };
}

export function edge(active: string, passive: string, fields: Partial<GraphEdge> = {}): GraphEdge {
  return {
    active,
    passive,
    proto: 'tcp',
    activeAddress: '10.0.0.11',
    passiveAddress: '10.0.0.10',
    passivePort: 80,
    connections: 1n,
    failed: 0n,
    open: 0n,
    bytesToPassive: 0n,
    bytesToActive: 0n,
    firstSeen: new Date('2025-06-01T10:00:00.000Z'),
    lastSeen: new Date('2025-06-01T11:55:00.000Z'),
    seenBy: 'both',
    foundBy: ['stream'],
    ambiguous: false,
    ...fields,
  };
}

export function coverage(fields: Partial<CoverageInterval> = {}): CoverageInterval {
  return {
    hostId: 'h1',
    host: 'web-1',
    from: new Date('2025-06-01T00:00:00.000Z'),
    to: NOW,
    mode: 'stream',
    attach: 'fentry',
    lost: 0n,
    missedProbes: 0n,
    gap: false,
    note: '',
    ...fields,
  };
}

export function graph(fields: Partial<Graph>): Graph {
  return {
    since: new Date('2025-05-31T12:00:00.000Z'),
    until: NOW,
    nodes: [],
    edges: [],
    coverage: [coverage()],
    ...fields,
  };
}

/** The paper's example: wrk > nginx > python. */
export function paperGraph(): Graph {
  return graph({
    nodes: [
      node('nginx', {
        pgid: 4656,
        unit: 'nginx.service',
        addresses: ['10.0.0.10'],
        ports: [80],
        depth: 0,
      }),
      node('wrk', { pgid: 5982, host: 'client-1', hostId: 'h2', addresses: ['10.0.0.11'] }),
      node('python', {
        pgid: 6111,
        host: 'app-1',
        hostId: 'h3',
        addresses: ['10.0.0.12'],
        ports: [8080],
      }),
    ],
    edges: [
      edge('wrk', 'nginx', { connections: 200n, open: 2n, failed: 1n }),
      edge('nginx', 'python', {
        activeAddress: '10.0.0.10',
        passiveAddress: '10.0.0.12',
        passivePort: 8080,
        seenBy: 'active',
      }),
    ],
  });
}
