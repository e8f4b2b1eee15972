import type { FlowBucketRecord, FlushBatch } from '../../src/flow/records.ts';
import { batch, bucket, coverage, flow, passiveNode } from './batches.ts';

/** What the agents of a fleet have to write while a day ends: the same for whoever computes it. */
export const AGENTS = 50;
/** Endpoints that all of them connect to. */
export const PEERS = 300;
/** The first half of a bucket, then all of it; two buckets before midnight, two after. */
export const ROUNDS = 8;
export const MIDNIGHT = Date.parse('2026-03-02T00:00:00Z');

const BUCKET_MS = 300_000;

function bucketStartMs(round: number): number {
  return MIDNIGHT + (Math.floor(round / 2) - 2) * BUCKET_MS;
}

/** Totals of a flow in a bucket: each is another number, so that a mixed-up row shows. */
function totals(agent: number, peer: number, round: number): FlowBucketRecord {
  const opened = agent * 1_000_000 + peer * 1_000 + round;
  return bucket({
    bucketStart: new Date(bucketStartMs(round)),
    opened,
    openAtStart: 0,
    openMax: round,
    openNow: round % 2,
    failedRefused: agent,
    bytesToPassive: BigInt(opened) * 7n,
    bytesToActive: 2n ** 40n + BigInt(opened),
  });
}

/** What one agent flushes in one round. */
export function flushOf(agent: number, round: number): FlushBatch {
  const atMs = bucketStartMs(round) + ((round % 2) + 1) * 100_000;
  const at = new Date(atMs);
  const flows = Array.from({ length: PEERS }, (_, peer) =>
    flow({
      // In another order on each host, and the same ids on all of them.
      flowId: String((peer * 7 + agent) % PEERS),
      edgeId: String(peer),
      passiveAddress: `10.1.${peer >> 8}.${peer & 255}`,
      firstSeen: new Date(bucketStartMs(0)),
      lastSeen: at,
      buckets: [totals(agent, (peer * 7 + agent) % PEERS, round)],
    }),
  );
  const from = new Date(bucketStartMs(0));
  return batch(
    {
      at,
      flows,
      coverage: [coverage({ from, to: at })],
      passiveNodes: [passiveNode({ lastSeen: at })],
    },
    agent,
  );
}

/** The rows of one agent that must be there in the end, as `select-rows` gives them. */
export function rowsOf(agent: number): string[] {
  const lastRounds = Array.from({ length: ROUNDS / 2 }, (_, index) => 2 * index + 1);
  return lastRounds
    .flatMap((round) =>
      flushOf(agent, round).flows.flatMap(({ flowId, buckets }) =>
        buckets.map((it) =>
          [
            flowId,
            it.bucketStart.toISOString(),
            it.opened,
            it.openMax,
            it.openNow,
            it.failedRefused,
            it.bytesToPassive,
            it.bytesToActive,
          ].join(' '),
        ),
      ),
    )
    .sort();
}
