import type { Placement } from './cgroup.ts';
import type { KernelIdentity, NamedProcess } from './identity.ts';
import { sameStart } from './stat.ts';

/** A process nothing happened to for so long is forgotten; naming it again is cheap. */
const IDLE_MS = 600_000;

/** What the namer knows about one instance of a program. */
export interface CacheEntry {
  readonly named: NamedProcess;
  readonly placement: Placement;
  readonly comm: string;
  /** Start, ticks since boot. */
  readonly startTicks: number;
  /** cgroup v2 id the kernel gave, 0n before it gave one. */
  readonly cgroupId: bigint;
  /** When it was found to have exited, null while it is thought to run. Milliseconds. */
  goneAtMs: number | null;
  usedAtMs: number;
  /** Until then what is known is taken for true without a look at /proc. */
  trustedUntilMs: number;
  trustMs: number;
}

/** Whether a cached entry is what the kernel said: no exec, change of user or move since. */
export function agrees(entry: CacheEntry, identity: KernelIdentity): boolean {
  const { record } = entry.named;
  return (
    (identity.exe === '' || identity.exe === record.exe) &&
    (identity.comm === '' || identity.comm === entry.comm) &&
    (identity.uid < 0 || identity.uid === record.uid) &&
    identity.pgid === record.pgid &&
    (identity.cgroupId === 0n || entry.cgroupId === 0n || identity.cgroupId === entry.cgroupId)
  );
}

/** Whether an entry needs no look at /proc. */
export function isSettled(entry: CacheEntry, nowMs: number): boolean {
  return entry.goneAtMs !== null || nowMs < entry.trustedUntilMs;
}

/**
 * Named processes by pid and start time. Bounded: an exited process is kept for a while, since its
 * events may come late, and the least recently used go first when there are too many.
 */
export class ProcessCache {
  readonly #retainMs: number;
  readonly #maxEntries: number;
  /** Usually one entry a pid; newest last. */
  readonly #byPid = new Map<number, CacheEntry[]>();
  #size = 0;
  #evicted = 0;

  constructor(retainMs: number, maxEntries: number) {
    this.#retainMs = retainMs;
    this.#maxEntries = maxEntries;
  }

  get size(): number {
    return this.#size;
  }

  /** Entries dropped for want of room. */
  get evicted(): number {
    return this.#evicted;
  }

  find(pid: number, startTicks: number): CacheEntry | undefined {
    return this.#byPid.get(pid)?.findLast((entry) => sameStart(entry.startTicks, startTicks));
  }

  /** The latest process that had this pid. */
  newest(pid: number): CacheEntry | undefined {
    return this.#byPid.get(pid)?.at(-1);
  }

  /** Adds an entry, in place of one for the same process; earlier owners of the pid are gone. */
  put(pid: number, entry: CacheEntry): void {
    const others = (this.#byPid.get(pid) ?? []).filter(
      (other) => !sameStart(other.startTicks, entry.startTicks),
    );
    const index = others.findIndex((other) => other.startTicks > entry.startTicks);
    const at = index < 0 ? others.length : index;
    this.#size += others.length + 1 - (this.#byPid.get(pid)?.length ?? 0);
    this.#byPid.set(pid, others.toSpliced(at, 0, entry));
    this.#markGone(pid, entry.usedAtMs, Math.max(entry.startTicks, others.at(-1)?.startTicks ?? 0));
    if (this.#size > this.#maxEntries) {
      this.#makeRoom();
    }
  }

  /** Notes that all who had this pid have exited, but for the one that started at `exceptTicks`. */
  #markGone(pid: number, nowMs: number, exceptTicks: number): void {
    for (const entry of this.#byPid.get(pid) ?? []) {
      if (!sameStart(entry.startTicks, exceptTicks)) {
        entry.goneAtMs ??= nowMs;
      }
    }
  }

  /**
   * Drops what exited longer ago than it is retained, and what was not used for very long.
   * @param livePids all processes there are; empty when that could not be found out
   */
  sweep(livePids: ReadonlySet<number>, nowMs: number): void {
    for (const pid of livePids.size === 0 ? [] : this.#byPid.keys()) {
      if (!livePids.has(pid)) {
        this.#markGone(pid, nowMs, Number.NaN);
      }
    }
    this.#keep(
      (entry) =>
        (entry.goneAtMs === null || nowMs - entry.goneAtMs <= this.#retainMs) &&
        nowMs - entry.usedAtMs <= IDLE_MS,
    );
  }

  /** Drops a quarter: exited processes first, then the least recently used. */
  #makeRoom(): void {
    const order = [...this.#byPid.values()]
      .flat()
      .sort(
        (a, b) =>
          Number(b.goneAtMs !== null) - Number(a.goneAtMs !== null) || a.usedAtMs - b.usedAtMs,
      );
    const dropped = new Set(order.slice(0, Math.ceil(this.#maxEntries / 4)));
    this.#evicted += dropped.size;
    this.#keep((entry) => !dropped.has(entry));
  }

  #keep(wanted: (entry: CacheEntry) => boolean): void {
    for (const [pid, entries] of this.#byPid) {
      const kept = entries.filter(wanted);
      this.#size -= entries.length - kept.length;
      if (kept.length === 0) {
        this.#byPid.delete(pid);
      } else if (kept.length < entries.length) {
        this.#byPid.set(pid, kept);
      }
    }
  }
}
