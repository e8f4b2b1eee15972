import type { Span } from './coverage.ts';

/** Where an address lives: a host's network namespace. */
export interface AddressOwner {
  readonly hostId: string;
  readonly netns: string;
}

/** A stretch of time, milliseconds since 1970. */
interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * An unbroken time in which an agent saw its host own an address. It may have owned it before and
 * after, as far as no agent knows better: then `sinceMs` and `untilMs` lie further out.
 */
export interface Ownership extends AddressOwner, Stretch {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** An agent looks at its own namespace at each flush: what is new may have been there so long. */
const LOOK_LAG_MS = 15_000;
/** It looks at all others once a minute. */
const SCAN_LAG_MS = 75_000;
const SAME_LOOK_MS = 1_000;

/**
 * How far an ownership may reach beyond what was seen of it. If the agent began or ended with it, the
 * host had it before and afterwards, until another run of the agent did not see it.
 * @param runs when agents of that host ran, in order of time
 */
export function ownershipOf(
  owner: AddressOwner,
  seen: Stretch,
  runs: readonly Stretch[],
): Ownership {
  const lagMs = owner.netns === '' ? SAME_LOOK_MS : SCAN_LAG_MS;
  const at = runs.findIndex(({ toMs }) => toMs >= seen.fromMs);
  const run = runs[at];
  const [before, next] = [runs[at - 1], runs[at + 1]];
  if (run === undefined || run.fromMs > seen.toMs) {
    return {
      ...owner,
      ...seen,
      sinceMs: Number.NEGATIVE_INFINITY,
      untilMs: Number.POSITIVE_INFINITY,
    };
  }
  const fromStart = seen.fromMs <= run.fromMs + lagMs;
  const toEnd = seen.toMs >= run.toMs - lagMs;
  return {
    ...owner,
    ...seen,
    sinceMs: fromStart ? (before?.toMs ?? Number.NEGATIVE_INFINITY) : seen.fromMs - LOOK_LAG_MS,
    untilMs: toEnd ? (next?.fromMs ?? Number.POSITIVE_INFINITY) : seen.toMs,
  };
}

/**
 * Who owned an address in a window of time: those who were seen to; if none was, those who may have,
 * unless another had it between then and the window.
 */
export function ownersAt(ownerships: readonly Ownership[], window: Span): AddressOwner[] {
  const fromMs = window.from.getTime();
  const toMs = Math.max(window.to.getTime(), fromMs + 1);
  const seen = ownerships.filter(
    (it) => it.fromMs < toMs && Math.max(it.toMs, it.fromMs + 1) > fromMs,
  );
  if (seen.length > 0) return distinct(seen);
  const presumed = ownerships.filter((it) => {
    if (it.sinceMs >= toMs || it.untilMs <= fromMs) return false;
    const others = ownerships.filter((other) => ownerKey(other) !== ownerKey(it));
    return it.toMs <= fromMs
      ? !others.some((other) => other.fromMs >= it.toMs && other.fromMs <= fromMs)
      : !others.some((other) => other.toMs >= toMs && other.toMs <= it.fromMs);
  });
  return distinct(presumed);
}

/** When, within a window, an address changed hands. */
export function ownerChanges(ownerships: readonly Ownership[], window: Span): number[] {
  if (ownerships.length === 0) return [];
  const [fromMs, toMs] = [window.from.getTime(), window.to.getTime()];
  const marks = ownerships
    .flatMap((it) => [it.sinceMs, it.fromMs, it.toMs, it.untilMs])
    .filter((ms) => ms > fromMs && ms < toMs);
  const edges = [fromMs, ...[...new Set(marks)].sort((a, b) => a - b), toMs];
  const changes: number[] = [];
  let owners: string | undefined;
  for (const [index, start] of edges.slice(0, -1).entries()) {
    const span = { from: new Date(start), to: new Date(edges[index + 1] ?? toMs) };
    const here = ownersAt(ownerships, span).map(ownerKey).sort().join(' ');
    if (owners !== undefined && owners !== here) changes.push(start);
    owners = here;
  }
  return changes;
}

function distinct(ownerships: readonly Ownership[]): AddressOwner[] {
  return [
    ...new Map(
      ownerships.map(({ hostId, netns }) => [ownerKey({ hostId, netns }), { hostId, netns }]),
    ).values(),
  ];
}

function ownerKey({ hostId, netns }: AddressOwner): string {
  return `${hostId}/${netns}`;
}
