/** Names and TARGETs from strangers change nothing in the database and nothing in the output. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type pg from 'pg';
import { UserError } from '../../src/common/exit-codes.ts';
import { queryDeps, queryFlows } from '../../src/query/deps.ts';
import { queryImpact } from '../../src/query/impact.ts';
import { queryListeners } from '../../src/query/inventory.ts';
import { queryPath } from '../../src/query/path.ts';
import { queryRetirement } from '../../src/query/retire.ts';
import { parseTarget, type Target } from '../../src/query/target.ts';
import { renderFlowTree } from '../../src/render/flow-tree.ts';
import { renderGraph } from '../../src/render/graph-format.ts';
import { renderImpact } from '../../src/render/impact-text.ts';
import { renderList } from '../../src/render/list.ts';
import { PLAIN } from '../../src/render/palette.ts';
import { renderRetirement } from '../../src/render/retire-text.ts';
import { renderTree } from '../../src/render/tree.ts';
import {
  assertSafeCsv,
  assertSafeDiagram,
  assertSafeText,
  HOSTILE_NAMES,
} from '../support/hostile.ts';
import { startTestPostgres, type TestPostgres, withClient } from '../support/postgres.ts';
import { at, HOUR, WorldHost, writeWorld } from './query-world.ts';

const KINDS = ['host', 'process', 'unit', 'container'] as const;
const TEXT = { depth: 2, port: null, now: at(60), palette: PLAIN } as const;

/** What PostgreSQL can hold of a name: no NUL, no half of a surrogate pair. */
function stored(name: string): string {
  return Buffer.from(name.replaceAll('\0', '')).toString();
}

let postgres: TestPostgres;
let config: pg.ClientConfig;
before(async () => {
  postgres = await startTestPostgres();
  config = await postgres.createDatabase();
  const hosts = HOSTILE_NAMES.map((name, index) => {
    const host = new WorldHost(name, [`10.0.1.${index + 1}`]).covered({ note: name });
    const fields = {
      name,
      exe: name,
      command: name,
      unit: name,
      containerId: name,
      userName: name,
    };
    host.process('evil', fields).listen('evil', '0.0.0.0', 80);
    const flow = { active: `10.0.1.${index + 1}`, passive: '10.0.1.1', port: 80 } as const;
    return host.flow({ ...flow, side: 'active', process: 'evil' });
  });
  await writeWorld(config, hosts);
});
after(async () => {
  await postgres.stop();
});

/** Every row of every table, as one hash each. */
async function contents(): Promise<unknown> {
  return withClient(config, async (client) => {
    const tables = await client.query<{ name: string }>(
      `SELECT c.oid::regclass::text AS name FROM pg_class c
       WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1`,
    );
    const counted: string[] = [];
    for (const { name } of tables.rows) {
      const { rows } = await client.query<{ hash: string }>(
        `SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') AS hash FROM ${name} t`,
      );
      counted.push(`${name} ${rows[0]?.hash}`);
    }
    return counted;
  });
}

/** Asks everything that takes a TARGET. */
async function ask(target: Target): Promise<boolean> {
  return withClient(config, async (client) => {
    const options = { direction: 'both', depth: 2 } as const;
    const found = await queryDeps(client, target, HOUR, options);
    await queryImpact(client, target, HOUR, 2);
    await queryPath(client, target, target, HOUR);
    await queryRetirement(client, target, HOUR);
    return found !== null;
  });
}

describe('hostile names', () => {
  it('are stored as they are, and found by themselves', async () => {
    const unchanged = await contents();
    for (const name of HOSTILE_NAMES) {
      for (const kind of KINDS) {
        assert.ok(await ask({ kind, name: stored(name) }), `${kind}:${JSON.stringify(name)}`);
      }
    }
    assert.deepEqual(await contents(), unchanged);
  });

  it('print safely in every format', async () => {
    await withClient(config, async (client) => {
      const graph = await queryFlows(client, HOUR);
      assert.equal(graph.edges.length, HOSTILE_NAMES.length);
      assertSafeText(renderFlowTree(graph, TEXT), 'tree');
      for (const format of ['json', 'jsonl', 'dot', 'mermaid', 'csv'] as const) {
        const text = renderGraph(graph, format);
        assertSafeText(text, format);
        if (format === 'csv') assertSafeCsv(text);
        if (format === 'dot' || format === 'mermaid') assertSafeDiagram(text, format);
      }
      const parsed = JSON.parse(renderGraph(graph, 'json'));
      assert.deepEqual(
        new Set(parsed.nodes.map((node: { process: string }) => node.process)),
        new Set(HOSTILE_NAMES.map(stored)),
      );
      const lines = renderGraph(graph, 'jsonl').trimEnd().split('\n');
      assert.equal(lines.map((line) => JSON.parse(line)).length, HOSTILE_NAMES.length);
    });
  });

  it('print safely in every answer and list', async () => {
    await withClient(config, async (client) => {
      const target = parseTarget('10.0.1.1:80');
      const options = { direction: 'both', depth: 2 } as const;
      const deps = await queryDeps(client, target, HOUR, options);
      const impact = await queryImpact(client, target, HOUR, 2);
      const retirement = await queryRetirement(client, target, HOUR);
      assert.ok(deps && impact && retirement);
      assertSafeText(renderTree(deps, { ...TEXT, direction: 'both' }), 'deps');
      assertSafeText(renderImpact(impact, TEXT), 'impact');
      assertSafeText(renderRetirement(retirement, at(60), PLAIN), 'retire');
      const graph = await queryFlows(client, HOUR);
      const items = await queryListeners(client, HOUR, graph);
      const list = {
        name: 'listeners',
        range: HOUR,
        items,
        coverage: graph.coverage,
        hosts: items,
        empty: '',
        columns: [
          ['host', (item: (typeof items)[number]) => item.host],
          ['process', (item: (typeof items)[number]) => item.process ?? ''],
        ],
      } as const;
      const table = renderList(list, 'table', PLAIN);
      assertSafeText(table, 'table');
      const rows = table.split('\n').filter((line) => line !== '' && !line.startsWith('# '));
      assert.equal(rows.length, items.length + 1, 'a name made a line of its own');
      assertSafeCsv(renderList(list, 'csv', PLAIN));
    });
  });
});

describe('hostile TARGETs', () => {
  it('find nothing and change nothing, or are refused in one safe line', async () => {
    const unchanged = await contents();
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...HOSTILE_NAMES));
    const target = fc.tuple(fc.constantFrom('', ...KINDS.map((kind) => `${kind}:`)), text);
    await fc.assert(
      fc.asyncProperty(target, async ([kind, name]) => {
        try {
          await ask(parseTarget(`${kind}${name}`));
        } catch (error) {
          assert.ok(error instanceof UserError, String(error));
        }
      }),
      { numRuns: 60 },
    );
    assert.deepEqual(await contents(), unchanged);
  });
});
