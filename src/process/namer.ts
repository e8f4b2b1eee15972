import { CgroupIndex, findCgroup2Mount } from './cgroup-index.ts';
import { cleanIdentity, FactFinder, type Facts } from './facts.ts';
import type { KernelIdentity, NamedProcess } from './identity.ts';
import { Placer } from './placer.ts';
import { ProcFs } from './proc-fs.ts';
import { agrees, type CacheEntry, isSettled, ProcessCache } from './process-cache.ts';
import { processIdOf } from './process-id.ts';
import { Siblings } from './siblings.ts';
import { sameStart, ticksOf } from './stat.ts';
import { processName } from './text.ts';
import { UserNames } from './user-names.ts';

export type { KernelIdentity, NamedProcess } from './identity.ts';

const MAX_ENTRIES = 32_768;
const MAX_COMMANDS = 16_384;
/** A process may exec or change its user soon after its start and seldom later. */
const FIRST_TRUST_MS = 1_000;
const MAX_TRUST_MS = 32_000;
const MAX_SIBLING_TRUST_MS = 8_000;

export interface ProcessNamerOptions {
  /** Mount point of the proc filesystem, `/proc`. */
  readonly procRoot: string;
  /** Mount point of the whole cgroup v2 hierarchy; found in /proc/self/mountinfo by default. */
  readonly cgroupRoot?: string;
  /** Directory of `passwd`, `/etc` by default. */
  readonly etcRoot?: string;
  /** UUID of this host. */
  readonly hostId: string;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** How long an exited process is kept, milliseconds: its events may come late. */
  readonly retainMs: number;
}

export interface ProcessNamerStats {
  /** Times a process had gone before anything could be learned of it. */
  readonly vanished: number;
  /** Processes in the cache now. */
  readonly cached: number;
  /** Names made or renewed: what was not answered from the cache. */
  readonly named: number;
  /** Cache entries dropped for want of room. */
  readonly evicted: number;
  readonly cgroupWalks: number;
  /** Reads of /proc that failed otherwise than by "gone" or "not allowed". */
  readonly readErrors: number;
}

/** Names the processes behind events and sockets. Everything is synchronous; nothing throws. */
export class ProcessNamer {
  readonly #hostId: string;
  readonly #now: () => number;
  readonly #proc: ProcFs;
  readonly #index: CgroupIndex;
  readonly #cache: ProcessCache;
  readonly #placer: Placer;
  readonly #finder: FactFinder;
  readonly #siblings: Siblings;
  readonly #users: UserNames;
  /** Latest command by node id: an instance that died too soon gets that of the others. */
  readonly #commands = new Map<string, string>();
  #vanished = 0;
  #named = 0;

  constructor(options: ProcessNamerOptions) {
    this.#hostId = options.hostId;
    this.#now = options.now;
    this.#proc = new ProcFs(options.procRoot);
    const mount =
      options.cgroupRoot === undefined
        ? findCgroup2Mount(this.#proc.mountinfo())
        : { mountPoint: options.cgroupRoot, root: '/' };
    this.#index = new CgroupIndex(mount, options.now);
    this.#cache = new ProcessCache(options.retainMs, MAX_ENTRIES);
    this.#placer = new Placer(this.#proc, this.#index, this.#cache);
    this.#finder = new FactFinder(this.#proc, this.#placer);
    this.#siblings = new Siblings(!this.#placer.cgroupIdTells);
    this.#users = new UserNames(options.etcRoot ?? '/etc', options.now);
  }

  get stats(): ProcessNamerStats {
    return {
      vanished: this.#vanished,
      cached: this.#cache.size,
      named: this.#named,
      evicted: this.#cache.evicted,
      cgroupWalks: this.#index.walks,
      readErrors: this.#proc.unexpectedErrors,
    };
  }

  /**
   * Names the process of an event from the identity the kernel gave, completed from /proc when that
   * process (same start time) is still there. What the kernel said at the event wins: the process
   * may have executed another program since.
   */
  fromKernel(identity: KernelIdentity): NamedProcess {
    const clean = cleanIdentity(identity);
    const known = this.#cache.find(clean.pid, ticksOf(clean.startTimeNs));
    if (known !== undefined && agrees(known, clean)) {
      known.usedAtMs = this.#now();
      return known.named;
    }
    return known === undefined
      ? this.#firstMet(clean)
      : this.#remember(this.#finder.fromIdentity(clean, known), known).named;
  }

  /**
   * Names a process a snapshot knows by pid.
   * @param startTimeNs 0n: whoever has the pid now, which is always looked up (one read of /proc);
   *   with a start time the cache answers while it is fresh, and after the exit
   * @returns 'vanished' when it has gone and was never named
   */
  fromPid(pid: number, startTimeNs: bigint): NamedProcess | 'vanished' {
    const now = this.#now();
    const ticks = startTimeNs === 0n ? null : ticksOf(startTimeNs);
    const known = ticks === null ? this.#cache.newest(pid) : this.#cache.find(pid, ticks);
    if (known !== undefined && ticks !== null && isSettled(known, now)) {
      known.usedAtMs = now;
      return known.named;
    }
    const stat = this.#finder.liveStat(pid, ticks);
    const same =
      stat !== null && known !== undefined && sameStart(known.startTicks, stat.startTicks)
        ? known
        : undefined;
    if (same !== undefined && stat !== null && isSettled(same, now) && same.comm === stat.comm) {
      same.usedAtMs = now;
      return same.named;
    }
    const facts = stat === null ? null : this.#finder.fromProc(pid, stat, same);
    if (facts !== null) {
      return this.#remember(facts, same).named;
    }
    if (known !== undefined) {
      known.goneAtMs ??= now;
      if (ticks !== null) {
        return known.named;
      }
    }
    this.#vanished++;
    return 'vanished';
  }

  /**
   * What is cached for a process, also some seconds after its exit; never looks at /proc.
   * @param startTimeNs 0n: the latest known owner of the pid
   */
  lookup(pid: number, startTimeNs: bigint): NamedProcess | undefined {
    const entry =
      startTimeNs === 0n ? this.#cache.newest(pid) : this.#cache.find(pid, ticksOf(startTimeNs));
    return entry?.named;
  }

  /** Forgets processes that exited longer ago than `retainMs`. To be called every few seconds. */
  sweep(): void {
    this.#cache.sweep(new Set(this.#proc.pids()), this.#now());
  }

  /** A process seen for the first time, after a sibling if it has one. */
  #firstMet(identity: KernelIdentity): NamedProcess {
    const now = this.#now();
    const sibling = this.#siblings.entryFor(identity, now);
    if (sibling !== undefined) {
      const startTicks = ticksOf(identity.startTimeNs);
      // Whether it lives still, the next sweep finds out.
      const times = { goneAtMs: null, usedAtMs: now, trustedUntilMs: now + FIRST_TRUST_MS };
      this.#cache.put(identity.pid, { ...sibling, ...times, startTicks, trustMs: FIRST_TRUST_MS });
      return sibling.named;
    }
    const entry = this.#remember(this.#finder.fromIdentity(identity, undefined), undefined);
    if (this.#placer.sharedBySiblings(identity)) {
      this.#siblings.learn(identity, entry, MAX_SIBLING_TRUST_MS);
    }
    return entry.named;
  }

  #remember(facts: Facts, known: CacheEntry | undefined): CacheEntry {
    const now = this.#now();
    this.#named++;
    const fresh = this.#nameOf(facts);
    const unchanged = known !== undefined && sameName(known.named, fresh);
    const named = unchanged ? known.named : fresh;
    const trustMs = unchanged ? Math.min(known.trustMs * 2, MAX_TRUST_MS) : FIRST_TRUST_MS;
    const entry: CacheEntry = {
      named,
      placement: facts.placement,
      comm: facts.comm,
      startTicks: ticksOf(facts.startTimeNs),
      cgroupId: facts.cgroupId,
      goneAtMs: facts.alive ? null : (known?.goneAtMs ?? now),
      usedAtMs: now,
      trustedUntilMs: now + trustMs,
      trustMs,
    };
    this.#cache.put(facts.pid, entry);
    return entry;
  }

  #nameOf(facts: Facts): NamedProcess {
    const { placement, exe, comm, uid } = facts;
    const processId = processIdOf({ hostId: this.#hostId, exe, comm, placement, uid });
    return {
      record: {
        processId,
        name: processName(comm, exe),
        exe,
        command: this.#commandOf(processId, facts.command),
        unit: placement.unit,
        containerId: placement.container?.containerId ?? null,
        uid,
        // A container has users of its own.
        userName: placement.container === null ? this.#users.nameOf(uid) : '',
        pid: facts.pid,
        pgid: facts.pgid,
      },
      container: placement.container,
      ppid: facts.ppid,
      startTimeNs: facts.startTimeNs,
    };
  }

  #commandOf(processId: string, command: string): string {
    if (command === '') {
      return this.#commands.get(processId) ?? '';
    }
    if (this.#commands.size >= MAX_COMMANDS) {
      this.#commands.clear();
    }
    this.#commands.set(processId, command);
    return command;
  }
}

function sameName(a: NamedProcess, b: NamedProcess): boolean {
  const [x, y] = [a.record, b.record];
  return (
    a.startTimeNs === b.startTimeNs &&
    a.ppid === b.ppid &&
    x.processId === y.processId &&
    x.name === y.name &&
    x.command === y.command &&
    x.userName === y.userName &&
    x.pgid === y.pgid
  );
}
