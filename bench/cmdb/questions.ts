import assert from 'node:assert/strict';
import type pg from 'pg';
import { BEGIN_READING } from '../../src/cmdb/statements/begin-reading.ts';
import { queryDeps } from '../../src/query/deps.ts';
import { queryDiff } from '../../src/query/diff.ts';
import type { Graph } from '../../src/query/graph.ts';
import { queryImpact } from '../../src/query/impact.ts';
import { parseTarget } from '../../src/query/target.ts';
import { withClient } from '../../test/support/postgres.ts';
import { type Spread, spread } from '../statistics.ts';
import * as fleet from './fleet.ts';

export interface Answered {
  readonly workload: string;
  readonly rounds: number;
  readonly answerMs: Spread | undefined;
  readonly edgesInAnswer: Spread | undefined;
  /** Answers that were compared with the truth; one that is wrong ends the bench. */
  readonly exactAnswers: number;
}

const LAST_DAY = range(fleet.DAYS - 1);
const IMPACT_DEPTH = 6;

function range(day: number): { since: Date; until: Date } {
  const first = day * fleet.BUCKETS_PER_DAY;
  return { since: fleet.timeOf(first), until: fleet.timeOf(first + fleet.BUCKETS_PER_DAY) };
}

/** Asks all questions in turn, round by round, over one connection as `ttctl` makes it. */
export async function askAll(
  config: pg.ClientConfig,
  hosts: number,
  rounds: number,
): Promise<Answered[]> {
  const edges = Array.from({ length: hosts * fleet.EDGES_PER_HOST }, (_, e) => fleet.edgeOf(e));
  return await withClient(config, async (client) => {
    await client.query(BEGIN_READING);
    const questions = [
      { workload: 'deps', ask: (round: number) => askDeps(client, edges, hosts, round) },
      {
        workload: `impact to depth ${IMPACT_DEPTH}`,
        ask: (round: number) => askImpact(client, edges, hosts, round),
      },
      { workload: 'diff of two days', ask: () => askDiff(client, edges) },
    ];
    const taken = questions.map(() => ({ ms: [] as number[], edges: [] as number[] }));
    // The first round warms caches and does not count.
    for (let round = 0; round <= rounds; round += 1) {
      for (const [index, { ask }] of questions.entries()) {
        const { ms, size } = await ask(round);
        if (round === 0) continue;
        taken[index]?.ms.push(ms);
        taken[index]?.edges.push(size);
      }
    }
    return questions.map(({ workload }, index) => ({
      workload,
      rounds,
      answerMs: spread(taken[index]?.ms ?? []),
      edgesInAnswer: spread(taken[index]?.edges ?? []),
      exactAnswers: rounds + 1,
    }));
  });
}

interface Timed {
  readonly ms: number;
  readonly size: number;
}

async function timed<T>(ask: () => Promise<T>): Promise<{ ms: number; answer: T }> {
  const startMs = performance.now();
  const answer = await ask();
  return { ms: performance.now() - startMs, answer };
}

/** Dependents and dependencies of one listener in the middle of its cell. */
async function askDeps(
  client: pg.Client,
  edges: readonly fleet.Edge[],
  hosts: number,
  round: number,
): Promise<Timed> {
  const [host, tier] = [(round * 37) % hosts, 5];
  const target = parseTarget(`${fleet.addressOf(host)}:${fleet.FIRST_PORT + tier}`);
  const options = { direction: 'both', depth: 1 } as const;
  const { ms, answer } = await timed(() => queryDeps(client, target, LAST_DAY, options));
  const isSeed = (at: number | null, its: number): boolean => at === host && its === tier;
  const right = edges.filter(
    (edge) =>
      isSeed(edge.passiveHost, edge.passiveTier) || isSeed(edge.activeHost, edge.activeTier),
  );
  assert.ok(answer !== null);
  assert.deepEqual(linesOf(answer), truthOf(right));
  return { ms, size: answer.edges.length };
}

/** Everything that depends on a listener of the last tier but one hop outside of the cell. */
async function askImpact(
  client: pg.Client,
  edges: readonly fleet.Edge[],
  hosts: number,
  round: number,
): Promise<Timed> {
  const [host, tier] = [(round * 41) % hosts, fleet.TIERS - 1];
  const target = parseTarget(`${fleet.addressOf(host)}:${fleet.FIRST_PORT + tier}`);
  const { ms, answer } = await timed(() => queryImpact(client, target, LAST_DAY, IMPACT_DEPTH));
  const cell = host - (host % fleet.CELL);
  const near = edges.filter(
    (edge) =>
      edge.passiveHost !== null && edge.activeHost - (edge.activeHost % fleet.CELL) === cell,
  );
  const right = new Set<fleet.Edge>();
  let frontier = new Set([`${host} ${tier}`]);
  const known = new Set(frontier);
  for (let level = 1; level <= IMPACT_DEPTH; level += 1) {
    const next = new Set<string>();
    for (const edge of near) {
      if (!frontier.has(`${edge.passiveHost} ${edge.passiveTier}`)) continue;
      const { connections, failed } = useOnLastDay(edge);
      if (connections + failed === 0) continue;
      right.add(edge);
      const node = `${edge.activeHost} ${edge.activeTier}`;
      if (connections > 0 && !known.has(node)) next.add(node);
    }
    for (const node of next) known.add(node);
    frontier = next;
  }
  assert.ok(answer !== null);
  assert.deepEqual(linesOf(answer), truthOf([...right]));
  return { ms, size: answer.edges.length };
}

async function askDiff(client: pg.Client, edges: readonly fleet.Edge[]): Promise<Timed> {
  const day = fleet.DAYS - 1;
  const { ms, answer } = await timed(() => queryDiff(client, range(day - 1), LAST_DAY));
  const names = namesOf(answer.nodes);
  const found = answer.edges.map(
    (edge) => `${edge.change} ${names(edge.active)} > ${names(edge.passive)}:${edge.passivePort}`,
  );
  const right = edges.flatMap((edge) => {
    const before = fleet.useOf(edge.e, (day - 1) * fleet.BUCKETS_PER_DAY, fleet.CHANGE);
    const after = useOnLastDay(edge);
    const change = changeOf(stateOf(before), stateOf(after));
    return change === null ? [] : [`${change} ${endsOf(edge)}`];
  });
  assert.deepEqual(found.sort(), right.sort());
  return { ms, size: found.length };
}

function useOnLastDay(edge: fleet.Edge): fleet.Use {
  return fleet.useOf(edge.e, fleet.CHANGE, fleet.CHANGE + fleet.BUCKETS_PER_DAY);
}

function stateOf({ connections, failed }: fleet.Use): 'used' | 'failing' | 'absent' {
  return connections > 0 ? 'used' : failed > 0 ? 'failing' : 'absent';
}

function changeOf(was: string, is: string): string | null {
  if (was === is) return null;
  if (is === 'used') return 'new';
  if (is === 'failing') return 'failed';
  return was === 'used' ? 'gone' : null;
}

/** Each edge with its ends by name and its counts. */
function linesOf(graph: Graph): string[] {
  const names = namesOf(graph.nodes);
  return graph.edges
    .map(
      (edge) =>
        `${names(edge.active)} > ${names(edge.passive)}:${edge.passivePort} ` +
        `${edge.connections} ${edge.failed} ${edge.bytesToPassive} ${edge.bytesToActive}`,
    )
    .sort();
}

function namesOf(nodes: Graph['nodes']): (id: string) => string {
  const names = new Map(
    nodes.map((node) => [
      node.id,
      node.process === null ? node.addresses.join() : `${node.host}/${node.process}`,
    ]),
  );
  return (id) => names.get(id) ?? `no node ${id}`;
}

function truthOf(edges: readonly fleet.Edge[]): string[] {
  return edges
    .flatMap((edge) => {
      const { connections, failed } = useOnLastDay(edge);
      if (connections + failed === 0) return [];
      return [
        `${endsOf(edge)} ${connections} ${failed} ${connections * 1_000} ${connections * 5_000}`,
      ];
    })
    .sort();
}

function endsOf(edge: fleet.Edge): string {
  const active = `${fleet.hostName(edge.activeHost)}/${fleet.processName(edge.activeTier)}`;
  const passive =
    edge.passiveHost === null
      ? edge.passiveAddress
      : `${fleet.hostName(edge.passiveHost)}/${fleet.processName(edge.passiveTier)}`;
  return `${active} > ${passive}:${edge.port}`;
}

/** Bytes of a row of history with its index, and of a row of `flow_days` likewise. */
export async function sizes(config: pg.ClientConfig): Promise<Record<string, number>> {
  return await withClient(config, async (client) => {
    const { rows } = await client.query<{ parent: string; bytes: string; rows: string }>(`
      SELECT i.inhparent::regclass::text AS parent, sum(pg_total_relation_size(c.oid))::text AS bytes, sum(c.reltuples)::bigint::text AS rows
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent IN ('flow_history'::regclass, 'flow_days'::regclass) GROUP BY i.inhparent`);
    const of = (parent: string): { bytes: number; rows: number } => {
      const row = rows.find((it) => it.parent === parent);
      return { bytes: Number(row?.bytes ?? 0), rows: Number(row?.rows ?? 0) };
    };
    const [history, days] = [of('flow_history'), of('flow_days')];
    return {
      historyRows: history.rows,
      bytesPerHistoryRow: Math.round(history.bytes / history.rows),
      bytesPerFlowDay: Math.round(days.bytes / days.rows),
    };
  });
}
