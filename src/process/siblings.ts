import type { KernelIdentity } from './identity.ts';
import type { CacheEntry } from './process-cache.ts';

const MAX_KNOWN = 4_096;

/**
 * Latest instance of each program by all that makes it a node, as the kernel gave it. A host that
 * runs hundreds of short-lived processes a second runs few programs: the next instance of one is
 * named after its sibling without a look at /proc, which would cost most of the agent's time.
 */
export class Siblings {
  readonly #byKey = new Map<string, CacheEntry>();
  readonly #byParent: boolean;

  /** @param byParent the cgroup id does not tell the placement alone: only children of one parent */
  constructor(byParent: boolean) {
    this.#byParent = byParent;
  }

  /** The cache entry of another instance as this one, undefined when none is known or trusted now. */
  entryFor(identity: KernelIdentity, nowMs: number): CacheEntry | undefined {
    const key = this.#keyOf(identity);
    const sibling = key === null ? undefined : this.#byKey.get(key);
    if (sibling === undefined || nowMs >= sibling.trustedUntilMs) return undefined;
    const { pid, pgid, ppid, startTimeNs } = identity;
    const { named } = sibling;
    return {
      ...sibling,
      named: { ...named, record: { ...named.record, pid, pgid }, ppid, startTimeNs },
    };
  }

  /** Learns an instance that was looked up, and trusts it longer each time it is as before. */
  learn(identity: KernelIdentity, entry: CacheEntry, maxTrustMs: number): void {
    const key = this.#keyOf(identity);
    if (key === null) return;
    const known = this.#byKey.get(key);
    const same = known?.named.record.processId === entry.named.record.processId;
    const trustMs = same ? Math.min(known.trustMs * 2, maxTrustMs) : entry.trustMs;
    if (this.#byKey.size >= MAX_KNOWN) this.#byKey.clear();
    this.#byKey.set(key, { ...entry, trustMs, trustedUntilMs: entry.usedAtMs + trustMs });
  }

  /** null when the kernel did not give enough to tell a node by. */
  #keyOf({ exe, comm, uid, cgroupId, ppid }: KernelIdentity): string | null {
    if (exe === '' || comm === '' || uid < 0 || cgroupId === 0n) return null;
    return `${cgroupId} ${uid} ${this.#byParent ? ppid : 0} ${comm}\0${exe}`;
  }
}
