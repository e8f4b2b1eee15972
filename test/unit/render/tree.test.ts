import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Graph } from '../../../src/query/graph.ts';
import { renderFlowTree } from '../../../src/render/flow-tree.ts';
import { COLOURS, PLAIN } from '../../../src/render/palette.ts';
import { renderTree, type TreeOptions } from '../../../src/render/tree.ts';
import { coverage, edge, graph, NOW, node, paperGraph } from './sample.ts';

function tree(shown: Graph, options: Partial<TreeOptions> = {}): string[] {
  const defaults = { direction: 'both', depth: 1, port: null, now: NOW, palette: PLAIN } as const;
  const text = renderTree(shown, { ...defaults, ...options });
  assert.ok(text.endsWith('\n'));
  return text.slice(0, -1).split('\n');
}

const HOLE = '; not watched 2025-05-31 12:00:00Z to 2025-06-01 00:00:00Z';
const ALL = 'not watched in this range; not watched 2025-05-31 12:00:00Z to 2025-06-01 12:00:00Z';

describe('renderTree', () => {
  it("shows the paper's form, and what is known besides after it", () => {
    const lines = tree(paperGraph());
    assert.deepEqual(lines, [
      "10.0.0.10:80 ('nginx', pgid=4656)  on web-1, nginx.service",
      "└<-- 10.0.0.11:many ('wrk', pgid=5982)  on client-1, 200 connections, 2 open, 1 failed, last 5m ago",
      "10.0.0.10:many ('nginx', pgid=4656)  on web-1, nginx.service",
      "└--> 10.0.0.12:8080 ('python', pgid=6111)  on app-1, 1 connection, last 5m ago, seen by the active side only",
      `# web-1: watched 12h of 1d (stream, fentry)${HOLE}`,
      `# client-1: ${ALL}`,
      `# app-1: ${ALL}`,
    ]);
    assert.deepEqual(
      lines.slice(0, 4).map((line) => line.split('  ')[0]),
      [
        "10.0.0.10:80 ('nginx', pgid=4656)",
        "└<-- 10.0.0.11:many ('wrk', pgid=5982)",
        "10.0.0.10:many ('nginx', pgid=4656)",
        "└--> 10.0.0.12:8080 ('python', pgid=6111)",
      ],
    );
  });

  it('shows one direction when one is asked for', () => {
    assert.equal(tree(paperGraph(), { direction: 'dependents' }).length, 5);
    assert.match(tree(paperGraph(), { direction: 'dependencies' })[0] ?? '', /^10\.0\.0\.10:many /);
  });

  it('marks failed edges, unknown processes and hosts without an agent', () => {
    const shown = graph({
      nodes: [
        node('curl', { depth: 0 }),
        node('h1:0@::1', { process: null }),
        node('ip:192.0.2.1', { process: null, host: null, hostId: null }),
      ],
      edges: [
        edge('curl', 'h1:0@::1', {
          activeAddress: '::1',
          passiveAddress: '::1',
          connections: 0n,
          failed: 2n,
          seenBy: 'active',
        }),
        edge('curl', 'ip:192.0.2.1', { activeAddress: '::1', passiveAddress: '192.0.2.1' }),
      ],
    });
    assert.deepEqual(tree(shown).slice(0, 3), [
      "[::1]:many ('curl')  on web-1",
      "└--> 192.0.2.1:80 ('?')  no agent there, 1 connection, last 5m ago",
      "└--> [::1]:80 ('?')  on web-1, FAILED 2 times, never established, last 5m ago, seen by the active side only",
    ]);
  });

  it('indents deeper levels, says by which endpoint, and ends in cycles', () => {
    const nodes = ['a', 'b', 'c'].map((id, depth) => node(id, { depth }));
    const to = (passive: string, port: number) => ({ passiveAddress: passive, passivePort: port });
    const edges = [
      edge('b', 'a', to('10.0.0.1', 1)),
      edge('c', 'b', to('10.0.0.2', 2)),
      edge('a', 'c', to('10.0.0.3', 3)),
    ];
    assert.deepEqual(
      tree(graph({ nodes, edges }), { direction: 'dependents', depth: 5 }).slice(0, -1),
      [
        "10.0.0.1:1 ('a')  on web-1",
        "└<-- 10.0.0.11:many ('b')  on web-1, 1 connection, last 5m ago",
        "    └<-- 10.0.0.11:many ('c')  on web-1, 1 connection, last 5m ago, to 10.0.0.2:2",
        "        └<-- 10.0.0.11:many ('a')  on web-1, 1 connection, last 5m ago, to 10.0.0.3:3, a cycle",
      ],
    );
    assert.equal(tree(graph({ nodes, edges }), { direction: 'dependents', depth: 2 }).length, 4);
  });

  it('tells an unused listener from a host that nobody watched', () => {
    const nodes = [node('nginx', { addresses: ['10.0.0.10'], ports: [80, 443], depth: 0 })];
    assert.deepEqual(tree(graph({ nodes }), { port: 80 }), [
      "10.0.0.10:80 ('nginx')  on web-1",
      '    nothing has connected in this range; watched 12h of 1d (stream, fentry)',
      `# web-1: watched 12h of 1d (stream, fentry)${HOLE}`,
    ]);
    assert.deepEqual(tree(graph({ nodes, coverage: [] }), { port: 80 }), [
      "10.0.0.10:80 ('nginx')  on web-1",
      '    nothing has connected in this range; not watched in this range',
      `# web-1: ${ALL}`,
    ]);
    assert.deepEqual(tree(graph({ nodes }), { direction: 'dependencies' }).slice(0, 2), [
      "10.0.0.10:many ('nginx')  on web-1",
      '    no connections in this range; watched 12h of 1d (stream, fentry)',
    ]);
    const lossy = [coverage({ lost: 3n, attach: null, mode: 'poll' }), coverage({ gap: true })];
    assert.deepEqual(tree(graph({ coverage: lossy })), [
      'nothing has connected in this range',
      '# web-1: watched 0s of 1d (poll); 3 events known to be missed; not watched 2025-05-31 12:00:00Z to 2025-06-01 12:00:00Z',
    ]);
  });

  it('marks pairs of which nobody knows who spoke to whom', () => {
    const nodes = [node('nginx', { depth: 0 }), node('curl')];
    const edges = [
      edge('curl', 'nginx', { ambiguous: true, connections: 0n }),
      edge('curl', 'nginx', { ambiguous: true, connections: 4n, activeAddress: '10.0.0.12' }),
    ];
    const lines = tree(graph({ nodes, edges }));
    assert.match(lines[1] ?? '', /4 connections, one of several possible pairs/);
    assert.match(lines[2] ?? '', /on web-1, one of several possible pairs/);
  });

  it('lets no name out that a terminal would obey, or that fakes the form', () => {
    const evil = "x\u001b[2J\n', pgid=1)\u202e\u009b";
    const nodes = [node(evil, { depth: 0, host: evil, unit: evil }), node('b')];
    const lines = tree(graph({ nodes, edges: [edge('b', evil)], coverage: [] }));
    const seen = "x\\x1b[2J\\x0a\\', pgid=1)\\u{202e}\\x9b";
    assert.ok(lines[0]?.startsWith(`10.0.0.10:80 ('${seen}')  on x\\x1b[2J`), lines[0]);
    assert.equal(lines.length, 3);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point
    assert.doesNotMatch(lines.join(''), /[\u0000-\u001f\u007f-\u009f\u202e]/);
  });

  it('colours when told to', () => {
    const [heading = ''] = tree(paperGraph(), { palette: COLOURS });
    assert.equal(
      heading,
      "\u001b[1m10.0.0.10:80 ('nginx', pgid=4656)\u001b[0m  \u001b[2mon web-1, nginx.service\u001b[0m",
    );
  });
});

describe('renderFlowTree', () => {
  it('lists every endpoint that was reached, with its dependents', () => {
    const text = renderFlowTree(paperGraph(), { depth: 1, port: null, now: NOW, palette: PLAIN });
    assert.deepEqual(
      text.split('\n').map((line) => line.split('  ')[0]),
      [
        "10.0.0.10:80 ('nginx', pgid=4656)",
        "└<-- 10.0.0.11:many ('wrk', pgid=5982)",
        "10.0.0.12:8080 ('python', pgid=6111)",
        "└<-- 10.0.0.10:many ('nginx', pgid=4656)",
        `# web-1: watched 12h of 1d (stream, fentry)${HOLE}`,
        `# app-1: ${ALL}`,
        `# client-1: ${ALL}`,
        '',
      ],
    );
  });
});
