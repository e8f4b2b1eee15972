import {
  NOWHERE,
  type Placement,
  parseCgroupFile,
  placementOf,
  placementOfPath,
} from './cgroup.ts';
import type { CgroupIndex } from './cgroup-index.ts';
import type { KernelIdentity } from './identity.ts';
import type { ProcFs } from './proc-fs.ts';
import type { ProcessCache } from './process-cache.ts';
import { sameStart, ticksOf } from './stat.ts';

/** Those put their children into other cgroups than their own, so theirs says nothing of them. */
const SUPERVISOR = /^(?:systemd|init|containerd-shim|docker-contain|conmon|runc|crun|lxc-start)/;

/**
 * Finds unit or container of a process: from /proc while it lives, else from the cgroup id the
 * kernel gave, else from its parent. The three must agree, or a node would split in two.
 */
export class Placer {
  readonly #proc: ProcFs;
  readonly #index: CgroupIndex;
  readonly #cache: ProcessCache;
  /** Whether any v1 hierarchy is in use: then the v2 path is not all there is to know. */
  readonly #hasV1: boolean;

  constructor(proc: ProcFs, index: CgroupIndex, cache: ProcessCache) {
    this.#proc = proc;
    this.#index = index;
    this.#cache = cache;
    const own = parseCgroupFile(proc.cgroup('self') ?? '');
    this.#hasV1 = own.systemd !== null || own.controllers.length > 0;
    index.learn('/');
  }

  /** Whether processes with the same cgroup id are in the same place, whoever their parents are. */
  get cgroupIdTells(): boolean {
    return !this.#hasV1;
  }

  /**
   * Whether it is known where children of this process' parent are that have its cgroup id: not while
   * nothing has shown the cgroup's path. With v1 hierarchies those of a supervisor need not be where
   * this one is: it puts them there in ways the id doesn't show.
   */
  sharedBySiblings({ ppid, cgroupId, startTimeNs }: KernelIdentity): boolean {
    if (!this.#hasV1) return this.#index.known(cgroupId) !== undefined;
    const parent = ppid <= 1 ? null : this.#proc.stat(ppid);
    return (
      parent !== null &&
      startedBefore(parent.startTicks, ticksOf(startTimeNs)) &&
      !SUPERVISOR.test(parent.comm)
    );
  }

  /**
   * Placement of a running process (or thread).
   * @param cgroupId cgroup v2 id the kernel gave with the event, 0n if none
   * @returns null when /proc does not tell
   */
  ofLive(pid: number, cgroupId: bigint): Placement | null {
    const atEvent = this.#hasV1 || cgroupId === 0n ? undefined : this.#index.known(cgroupId);
    if (atEvent !== undefined) {
      return placementOfPath(atEvent);
    }
    const text = this.#proc.cgroup(pid);
    if (text === null) {
      return null;
    }
    const paths = parseCgroupFile(text);
    if (paths.unified !== null && (cgroupId === 0n || this.#index.known(cgroupId) === undefined)) {
      this.#index.learn(paths.unified);
    }
    return placementOf(paths);
  }

  /** Placement of a process that has exited. */
  ofGone(identity: KernelIdentity): Placement {
    const { cgroupId } = identity;
    // First, since it may teach the index the very cgroup looked for.
    const inherited = this.#ofParent(identity);
    const path = cgroupId === 0n ? undefined : this.#index.find(cgroupId);
    if (inherited !== null && (this.#hasV1 || cgroupId === 0n) && inherited.sharesUnified(path)) {
      return inherited.placement;
    }
    return path === undefined ? NOWHERE : placementOfPath(path);
  }

  /**
   * Where the parent is or was, null when that says nothing about its children. Orphans have been
   * given to init, whose cgroup was never theirs.
   */
  #ofParent(child: KernelIdentity): Inherited | null {
    const { ppid, cgroupId } = child;
    if (ppid <= 1) {
      return null;
    }
    const childTicks = ticksOf(child.startTimeNs);
    const stat = this.#proc.stat(ppid);
    const text = stat === null ? null : this.#proc.cgroup(ppid);
    if (stat !== null && text !== null && startedBefore(stat.startTicks, childTicks)) {
      const paths = parseCgroupFile(text);
      this.#index.learn(paths.unified ?? '/');
      const inherited: Inherited = {
        placement: placementOf(paths),
        sharesUnified: (path) =>
          cgroupId === 0n || paths.unified === null || paths.unified === path,
      };
      return SUPERVISOR.test(stat.comm) ? null : inherited;
    }
    const cached = this.#cache.newest(ppid);
    if (cached === undefined || !startedBefore(cached.startTicks, childTicks)) {
      return null;
    }
    const inherited: Inherited = {
      placement: cached.placement,
      sharesUnified: () => cgroupId === 0n || [0n, cgroupId].includes(cached.cgroupId),
    };
    return SUPERVISOR.test(cached.comm) ? null : inherited;
  }
}

interface Inherited {
  readonly placement: Placement;
  /** Whether the child, at this v2 path (undefined: not known), was where the parent is. */
  readonly sharesUnified: (path: string | undefined) => boolean;
}

function startedBefore(parentTicks: number, childTicks: number): boolean {
  return parentTicks < childTicks || sameStart(parentTicks, childTicks);
}
