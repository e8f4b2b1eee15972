/** A process with a hostile name, from the kernel to every form of output. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { ACTOR_PROGRAM, Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { edgesTo, type GraphJson, Ttracerd, ttctl, ttctlJson } from '../support/commands.ts';
import { assertSafeCsv, assertSafeDiagram, assertSafeText } from '../support/hostile.ts';
import {
  startTestPostgres,
  type TestPostgres,
  temporaryDirectory,
  urlOf,
} from '../support/postgres.ts';
import { eventually } from '../support/processes.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';

/** A name of a file, as printf(1) has it: terminal escape, invalid UTF-8, quotes, a line of its own. */
const NAMES = [
  String.raw`=\033[2J\377"x\n;y`,
  `'"; DROP TABLE`,
  String.raw`\342\200\256gnp\302\2331m`,
] as const;
const HOST_NAME = `=host"'\u001b[2J\n\u202e; DROP TABLE hosts; --`;

describe('hostile names of processes and of the host', { skip: SKIP_UNLESS_ROOT }, () => {
  let postgres: TestPostgres;
  let cleanup: Cleanup;
  let directory: string;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(() => postgres.stop());
  beforeEach(async () => {
    cleanup = new Cleanup();
    directory = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
  });
  afterEach(() => cleanup.run());

  /** An actor whose executable, hence also its comm, has such a name. */
  const evil = (name: string): Actor => {
    const path = Buffer.concat([Buffer.from(`${directory}/`), bytesOf(name)]);
    copyFileSync(ACTOR_PROGRAM, path);
    const wrapper = [
      'sh',
      '-c',
      'exec "$0/$(printf %b "$1")"',
      directory,
      name.replaceAll(/\\(?=\d)/g, '\\0'),
    ];
    return cleanup.keep(new Actor({ wrapper }), (it) => it.end());
  };

  it('reach every format without breaking out of it', async () => {
    const reach = ['--cmdb', urlOf(await postgres.createDatabase())];
    const agent = cleanup.keep(
      new Ttracerd([
        ...['--data-dir', join(directory, 'data'), '--host-name', HOST_NAME, ...reach],
        ...['--flush-interval', '500ms'],
      ]),
      (it) => it.stop(),
    );
    await agent.ready();
    const ports: number[] = [];
    for (const name of NAMES) {
      const actor = evil(name);
      const { fd, port } = await actor.listen('127.0.0.1');
      await actor.one(`connect 127.0.0.1 ${port}`);
      await actor.one(`accept ${fd}`);
      ports.push(port);
    }
    const seen = new Set<string | null>();
    for (const port of ports) {
      await eventually(
        async () => {
          const { code, stdout } = await ttctl(['deps', `:${port}`, '--format', 'json', ...reach]);
          const graph: GraphJson = code === 0 ? JSON.parse(stdout) : { nodes: [], edges: [] };
          const [edge] = edgesTo(graph, port).filter((it) => it.seenBy === 'both');
          if (edge !== undefined) seen.add(edge.activeProcess);
          return edge !== undefined;
        },
        { timeoutMs: 20_000, what: `the edge to port ${port}` },
      );
    }
    assert.equal(seen.size, NAMES.length, JSON.stringify([...seen]));
    for (const [format, check] of Object.entries({
      tree: () => undefined,
      json: (text: string) => JSON.parse(text),
      jsonl: (text: string) =>
        text
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line)),
      dot: (text: string) => assertSafeDiagram(text, 'dot'),
      mermaid: (text: string) => assertSafeDiagram(text, 'mermaid'),
      csv: assertSafeCsv,
    })) {
      const { code, stdout, stderr } = await ttctl(['flows', '--format', format, ...reach]);
      assert.equal(code, 0, stderr);
      assertSafeText(stdout, format);
      check(stdout);
    }
    const { nodes } = await ttctlJson<GraphJson>(['flows', ...reach]);
    assert.ok(nodes.some(({ host }) => host === HOST_NAME));
    // What was found finds itself; what was not is refused in one safe line.
    for (const name of seen) {
      const found = await ttctl(['deps', `process:${name}`, ...reach]);
      assert.equal(found.code, 0, found.stderr);
      assertSafeText(found.stdout, 'tree');
    }
    for (const target of [`process:${HOST_NAME}`, `unit:' OR 1=1 --`, HOST_NAME]) {
      const refused = await ttctl(['deps', target, ...reach]);
      assert.ok(refused.code === 1 || refused.code === 2, refused.stderr);
      assert.equal(refused.stderr.trimEnd().split('\n').length, 1);
      assertSafeText(refused.stderr, 'error');
    }
    assertSafeText(agent.stderr, 'log');
  });
});

/** What printf(1) makes of a name. */
function bytesOf(name: string): Buffer {
  const parts = name.match(/\\(?:\d{3}|n)|[^\\]+/g) ?? [];
  return Buffer.concat(
    parts.map((part) => {
      if (part === '\\n') return Buffer.from('\n');
      if (part.startsWith('\\')) return Buffer.from([Number.parseInt(part.slice(1), 8)]);
      return Buffer.from(part);
    }),
  );
}
