import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toCsv } from '../../../src/render/csv.ts';
import { renderGraph } from '../../../src/render/graph-format.ts';
import { toJson } from '../../../src/render/json.ts';
import { renderList } from '../../../src/render/list.ts';
import { PLAIN } from '../../../src/render/palette.ts';
import { printable, printableJson } from '../../../src/render/printable.ts';
import { formatSpan } from '../../../src/render/spans.ts';
import { edge, graph, NOW, node, paperGraph } from './sample.ts';

const EVIL = '=cmd|"x"\u001b[2J\n\\N<b>],--> \u0085';

function evilGraph() {
  const nodes = [node('a', { process: EVIL, depth: 0 }), node('b', { process: EVIL, host: EVIL })];
  return graph({ nodes, edges: [edge('a', 'b', { connections: 0n, failed: 1n })] });
}

describe('json', () => {
  it("is the contract's shape", () => {
    const parsed = JSON.parse(renderGraph(paperGraph(), 'json'));
    assert.deepEqual(Object.keys(parsed), [
      'schema',
      'since',
      'until',
      'nodes',
      'edges',
      'coverage',
      'unwatched',
    ]);
    assert.equal(parsed.schema, 1);
    assert.equal(parsed.until, '2025-06-01T12:00:00.000Z');
    assert.deepEqual(parsed.edges[0], {
      active: 'wrk',
      passive: 'nginx',
      proto: 'tcp',
      activeAddress: '10.0.0.11',
      passiveAddress: '10.0.0.10',
      passivePort: 80,
      connections: 200,
      failed: 1,
      open: 2,
      bytesToPassive: 0,
      bytesToActive: 0,
      firstSeen: '2025-06-01T10:00:00.000Z',
      lastSeen: '2025-06-01T11:55:00.000Z',
      seenBy: 'both',
      foundBy: ['stream'],
      ambiguous: false,
    });
    assert.equal(parsed.coverage[0].lost, 0);
    const never = { from: '2025-05-31T12:00:00.000Z', to: '2025-06-01T12:00:00.000Z' };
    assert.deepEqual(parsed.unwatched, [
      { hostId: 'h1', host: 'web-1', ...never, to: '2025-06-01T00:00:00.000Z' },
      { hostId: 'h2', host: 'client-1', ...never },
      { hostId: 'h3', host: 'app-1', ...never },
    ]);
  });

  it('rounds no count: beyond 2^53 - 1 it is a string', () => {
    assert.equal(toJson(2n ** 53n - 1n), '9007199254740991\n');
    assert.equal(toJson(2n ** 53n), '"9007199254740992"\n');
  });

  it('holds no character a terminal would obey, and still says the same', () => {
    const text = toJson({ name: EVIL, tag: '\u{e0041}\ud800' });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point
    assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u{e0041}]/u);
    assert.deepEqual(JSON.parse(text), { name: EVIL, tag: '\u{e0041}\ud800' });
  });

  it('comes one edge a line, with its nodes', () => {
    const lines = renderGraph(paperGraph(), 'jsonl').trimEnd().split('\n');
    assert.deepEqual(
      lines
        .map((line) => JSON.parse(line))
        .map(({ active, passive }) => [active.pgid, passive.pgid]),
      [
        [5982, 4656],
        [4656, 6111],
      ],
    );
    assert.equal(renderGraph(graph({}), 'jsonl'), '');
  });
});

describe('dot', () => {
  it('draws nodes and edges, failed ones dashed, and escapes what it is given', () => {
    assert.equal(
      renderGraph(evilGraph(), 'dot'),
      [
        'digraph transtracer {',
        '  rankdir=LR;',
        '  node [shape=box];',
        '  n0 [label="=cmd|\\"x\\"\\\\x1b[2J\\\\x0a\\\\N<b>],--> \\\\x85\\nweb-1", style=bold];',
        '  n1 [label="=cmd|\\"x\\"\\\\x1b[2J\\\\x0a\\\\N<b>],--> \\\\x85\\n=cmd|\\"x\\"\\\\x1b[2J\\\\x0a\\\\N<b>],--> \\\\x85"];',
        '  n0 -> n1 [label=":80 failed 1", style=dashed, color=red];',
        '}',
        '',
      ].join('\n'),
    );
  });
});

describe('mermaid', () => {
  it('draws the same, with character codes for anything that could be syntax', () => {
    assert.equal(
      renderGraph(paperGraph(), 'mermaid'),
      [
        'flowchart LR',
        '  n0["nginx<br/>nginx.service<br/>web-1 10.0.0.10"]',
        '  n1["wrk<br/>client-1 10.0.0.11"]',
        '  n2["python<br/>app-1 10.0.0.12"]',
        '  n1 -->|":80 200"| n0',
        '  n0 -->|":8080 1"| n2',
        '',
      ].join('\n'),
    );
    const text = renderGraph(evilGraph(), 'mermaid');
    assert.ok(text.includes('  n0["#61;cmd#124;#34;x#34;#92;x1b#91;2J'), text);
    assert.ok(text.includes('  n0 -.->|":80 failed 1"| n1'), text);
    assert.ok(!text.includes('<b>'));
  });
});

describe('csv', () => {
  it('quotes as RFC 4180 says, and runs no formula', () => {
    assert.equal(
      toCsv(
        ['a', 'b'],
        [
          ['x,y', 'say "hi"'],
          ['=1+1', '@x'],
          ['-1', '+2'],
          [null, 5n],
          [NOW, true],
        ],
      ),
      'a,b\r\n"x,y","say ""hi"""\r\n\'=1+1,\'@x\r\n\'-1,\'+2\r\n,5\r\n2025-06-01T12:00:00.000Z,true\r\n',
    );
  });

  it('gives an edge a row, every row as long as the header', () => {
    const rows = renderGraph(paperGraph(), 'csv').trimEnd().split('\r\n');
    assert.equal(rows.length, 3);
    assert.deepEqual(new Set(rows.map((row) => row.split(',').length)), new Set([30]));
    assert.match(
      rows[1] ?? '',
      /^wrk,client-1,wrk,,,,,5982,10\.0\.0\.11,nginx,web-1,nginx,,nginx\.service,/,
    );
    assert.match(renderGraph(evilGraph(), 'csv'), /"'=cmd\|""x""\\x1b\[2J\\x0a/);
  });
});

describe('lists', () => {
  const list = {
    name: 'hosts',
    range: { since: new Date(0), until: NOW },
    items: [
      { host: 'web-1', lost: 3n },
      { host: 'a\u0007', lost: 2n ** 60n },
    ],
    empty: 'no host',
    columns: [
      ['host', (item: { host: string; lost: bigint }) => item.host],
      ['lost events', (item: { host: string; lost: bigint }) => String(item.lost)],
    ],
  } as const;

  it('come as a table, JSON, JSON lines or CSV', () => {
    assert.equal(
      renderList(list, 'table', PLAIN),
      'host   lost events\nweb-1  3\na\\x07  1152921504606846976\n',
    );
    assert.equal(renderList({ ...list, items: [] }, 'table', PLAIN), 'no host\n');
    assert.deepEqual(JSON.parse(renderList(list, 'json', PLAIN)), {
      schema: 1,
      since: '1970-01-01T00:00:00.000Z',
      until: '2025-06-01T12:00:00.000Z',
      hosts: [
        { host: 'web-1', lost: 3 },
        { host: 'a\u0007', lost: '1152921504606846976' },
      ],
    });
    assert.equal(renderList(list, 'jsonl', PLAIN).split('\n').length, 3);
    assert.equal(
      renderList(list, 'csv', PLAIN),
      'host,lost_events\r\nweb-1,3\r\na\\x07,1152921504606846976\r\n',
    );
  });
});

describe('text helpers', () => {
  it('make hidden characters visible and leave letters alone', () => {
    assert.equal(
      printable('größe 数\u200b\u{e0041}\ud800'),
      'größe 数\\u{200b}\\u{e0041}\\u{d800}',
    );
    assert.equal(printableJson('"\u{e0041}"\n'), '"\\udb40\\udc41"\n');
  });

  it('spell durations in two units', () => {
    const spans = [0, 999, 1_000, 61_000, 3_600_000, 90_061_000, 8 * 86_400_000];
    assert.deepEqual(spans.map(formatSpan), ['0s', '0s', '1s', '1m1s', '1h', '1d1h', '8d']);
  });
});
