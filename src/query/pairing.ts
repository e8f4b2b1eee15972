import type { FoundBy } from '../flow/records.ts';
import type { GraphEdge } from './graph.ts';
import { type Half, isFailing, type Totals } from './halves.ts';
import { attributedRef, endScope, type NodeRef } from './node-ref.ts';

/** An edge between two nodes, before it is cast into the graph's form. */
export interface Link extends Totals {
  /** Unique among links: edge and both nodes. */
  readonly key: string;
  readonly active: NodeRef;
  readonly passive: NodeRef;
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly passivePort: number;
  readonly firstSeen: Date;
  readonly lastSeen: Date;
  readonly seenBy: GraphEdge['seenBy'];
  readonly foundBy: number;
  readonly ambiguous: boolean;
}

/** An end of an edge: the half its host wrote, or null when nobody saw this end. */
interface End {
  readonly ref: NodeRef;
  readonly half: Half | null;
}

/**
 * Pairs the halves of one edge (all of them share edge id, addresses and port).
 *
 * - One process at each end: one link; the active half's totals, else the passive one's.
 * - One end shared by several processes: a link each, with that process's own totals, so that the
 *   other end's are not multiplied. Failed connects, which only the active side sees, stand at the
 *   passive process with the most connections.
 * - Both ends shared: who spoke to whom is unknowable. Leaving links out would hide dependents, so
 *   every pair is a link and is marked ambiguous; each active process's totals stand once, at the
 *   passive process with the most connections, so that sums stay true.
 *
 * An active process whose connects all failed never reached a particular passive process; it does
 * not make an end shared.
 * @param unseenActive node of the active end should no half name it; `unseenPassive` likewise
 */
export function pairHalves(
  halves: readonly Half[],
  unseenActive: NodeRef,
  unseenPassive: NodeRef,
): Link[] {
  const byWeight = halves.toSorted(compareWeight);
  const failing = byWeight.filter((half) => half.side === 'A' && isFailing(half));
  const passiveHalves = byWeight.filter((half) => half.side === 'P');
  const activeHalves = byWeight.filter((half) => half.side === 'A' && !isFailing(half));
  const passives = passiveHalves.map(toEnd);
  const mainPassive = passives[0] ?? { ref: unseenPassive, half: null };
  const links = failing.map((half) => link(toEnd(half), { ...mainPassive, half: null }, half));
  if (activeHalves.length === 0 && passiveHalves.length === 0) return links;
  const actives = activeHalves.length > 0 ? activeHalves.map(toEnd) : [unseen(unseenActive)];
  const pairs = pairEnds(actives, passives.length > 0 ? passives : [mainPassive]);
  return [...links, ...pairs];
}

function pairEnds(actives: readonly End[], passives: readonly End[]): Link[] {
  const [active, otherActive] = actives;
  const [passive, otherPassive] = passives;
  if (active === undefined || passive === undefined) return [];
  if (otherPassive === undefined) {
    const shared = otherActive !== undefined;
    return actives.map((end) => link(end, passive, ownTotals(end, passive), shared ? end : null));
  }
  if (otherActive === undefined) {
    return passives.map((end, index) =>
      link(active, end, withFailed(end, index === 0 ? active : null), end),
    );
  }
  return actives.flatMap((end) =>
    passives.map((other, index) => ({
      ...link(end, other, index === 0 ? ownTotals(end, other) : NO_TOTALS, end),
      ambiguous: true,
    })),
  );
}

const NO_TOTALS: Totals = {
  connections: 0n,
  failed: 0n,
  open: 0n,
  bytesToPassive: 0n,
  bytesToActive: 0n,
};

function ownTotals(active: End, passive: End): Totals {
  return active.half ?? passive.half ?? NO_TOTALS;
}

function withFailed(passive: End, active: End | null): Totals {
  return { ...(passive.half ?? NO_TOTALS), failed: active?.half?.failed ?? 0n };
}

/**
 * @param evidence the end whose times and means are this link's own, where the other end is shared
 *   and its half tells of other processes too; null when both halves tell of this link alone
 */
function link(active: End, passive: End, totals: Totals, evidence: End | null = null): Link {
  const halves = [active.half, passive.half].filter((half) => half !== null);
  const own = evidence?.half ? [evidence.half] : halves;
  const [first] = halves;
  if (first === undefined) throw new Error('an edge without halves');
  return {
    key: `${first.edgeId}|${active.ref.id}|${passive.ref.id}`,
    active: active.ref,
    passive: passive.ref,
    activeAddress: first.activeAddress,
    passiveAddress: first.passiveAddress,
    passivePort: first.passivePort,
    connections: totals.connections,
    carried: totals.carried ?? 0n,
    failed: totals.failed,
    open: totals.open,
    bytesToPassive: totals.bytesToPassive,
    bytesToActive: totals.bytesToActive,
    firstSeen: new Date(Math.min(...own.map((half) => half.firstSeen.getTime()))),
    lastSeen: new Date(Math.max(...own.map((half) => half.lastSeen.getTime()))),
    seenBy: halves.length === 2 ? 'both' : active.half ? 'active' : 'passive',
    foundBy: own.reduce((bits, half) => bits | half.foundBy, 0),
    ambiguous: false,
  };
}

function toEnd(half: Half): End {
  const [address, scope] =
    half.side === 'A'
      ? [half.activeAddress, endScope(half.scope, 'active')]
      : [half.passiveAddress, endScope(half.scope, 'passive')];
  return { ref: attributedRef(half.hostId, half.processId, address, scope), half };
}

function unseen(ref: NodeRef): End {
  return { ref, half: null };
}

/** Most connections first; then by host and process, so that answers are stable. */
function compareWeight(a: Half, b: Half): number {
  if (a.connections !== b.connections) return a.connections > b.connections ? -1 : 1;
  const [x, y] = [`${a.hostId}:${a.processId}`, `${b.hostId}:${b.processId}`];
  return x < y ? -1 : x > y ? 1 : 0;
}

/**
 * Links of one edge in several eras, in order of time, as one link for each pair of nodes. A
 * connection that stayed open from one era to the next counts once.
 */
export function mergeLinks(eras: readonly (readonly Link[])[]): Link[] {
  if (eras.length === 1) return [...(eras[0] ?? [])];
  const merged = new Map<string, Link>();
  for (const link of eras.flat()) {
    const known = merged.get(link.key);
    merged.set(link.key, known === undefined ? link : joined(known, link));
  }
  return [...merged.values()];
}

function joined(earlier: Link, later: Link): Link {
  return {
    ...later,
    connections: earlier.connections + later.connections - (later.carried ?? 0n),
    carried: earlier.carried ?? 0n,
    failed: earlier.failed + later.failed,
    open: earlier.open + later.open,
    bytesToPassive: earlier.bytesToPassive + later.bytesToPassive,
    bytesToActive: earlier.bytesToActive + later.bytesToActive,
    firstSeen: earlier.firstSeen < later.firstSeen ? earlier.firstSeen : later.firstSeen,
    lastSeen: earlier.lastSeen > later.lastSeen ? earlier.lastSeen : later.lastSeen,
    seenBy: earlier.seenBy === later.seenBy ? later.seenBy : 'both',
    foundBy: earlier.foundBy | later.foundBy,
    ambiguous: earlier.ambiguous || later.ambiguous,
  };
}

/** The names of the stored bits. */
export function foundByNames(bits: number): FoundBy[] {
  const names: readonly (readonly [number, FoundBy])[] = [
    [1, 'stream'],
    [2, 'snapshot'],
    [4, 'destroy'],
  ];
  return names.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name);
}
