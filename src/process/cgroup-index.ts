import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const MAX_KNOWN = 16_384;
/** A walk looks at no more directories than this; hosts full of containers have some thousands. */
const MAX_WALK_DIRECTORIES = 16_384;
/** Walks take at most one part in this of the time. */
const WALK_TIME_SHARE = 20;

/** Where the cgroup v2 hierarchy is mounted, and which part of it. */
export interface Cgroup2Mount {
  readonly mountPoint: string;
  /** Path within the hierarchy that the mount point shows: `/` outside of containers. */
  readonly root: string;
}

/** Finds the cgroup2 mount in /proc/self/mountinfo (proc(5)), null on a pure v1 host. */
export function findCgroup2Mount(mountinfo: string): Cgroup2Mount | null {
  for (const line of mountinfo.split('\n')) {
    const [mount, source] = line.split(' - ', 2);
    if (mount === undefined || source?.startsWith('cgroup2 ') !== true) {
      continue;
    }
    const [, , , root, mountPoint] = mount.split(' ', 5);
    if (root !== undefined && mountPoint !== undefined) {
      return { root: unescapeOctal(root), mountPoint: unescapeOctal(mountPoint) };
    }
  }
  return null;
}

/**
 * Paths by cgroup v2 id. The id the kernel gives with an event is the inode number of the cgroup's
 * directory, so ids are learned from living processes, and a missing one is looked for in the
 * mounted hierarchy.
 */
export class CgroupIndex {
  readonly #mount: Cgroup2Mount | null;
  readonly #now: () => number;
  readonly #paths = new Map<bigint, string>();
  /** Ids a whole walk did not find. Ids are never used again, so they stay lost. */
  readonly #lost = new Set<bigint>();
  #walkAtMs = Number.NEGATIVE_INFINITY;
  #walks = 0;

  /** @param now milliseconds, monotonic */
  constructor(mount: Cgroup2Mount | null, now: () => number) {
    this.#mount = mount;
    this.#now = now;
  }

  /** Walks of the hierarchy so far. */
  get walks(): number {
    return this.#walks;
  }

  /** The path of a cgroup known already. */
  known(id: bigint): string | undefined {
    // Before 5.5 the id holds a generation above the 32 bits of the inode (fs/kernfs/dir.c).
    return (
      this.#paths.get(id) ?? (id >> 32n === 0n ? undefined : this.#paths.get(id & 0xffffffffn))
    );
  }

  /** Learns the id of a living process' cgroup. */
  learn(path: string): void {
    const directory = this.#directoryOf(path);
    const id = directory === null ? null : inodeOf(directory);
    if (id !== null) {
      this.#remember(id, path);
    }
  }

  /**
   * The path of any cgroup that still exists. Walks the hierarchy if it must, but not often: between
   * walks an unknown id stays unknown.
   */
  find(id: bigint): string | undefined {
    const path = this.known(id);
    if (path !== undefined || this.#mount === null || this.#lost.has(id)) {
      return path;
    }
    const start = this.#now();
    if (start < this.#walkAtMs) {
      return undefined;
    }
    const complete = this.#walk(this.#mount);
    const end = this.#now();
    this.#walkAtMs = end + (end - start + 1) * WALK_TIME_SHARE;
    const found = this.known(id);
    if (found === undefined && complete) {
      this.#forgetHalfWhenFull(this.#lost);
      this.#lost.add(id);
    }
    return found;
  }

  /** Breadth first: services and slices before whatever deep trees they delegate. */
  #walk(mount: Cgroup2Mount): boolean {
    this.#walks++;
    const queue: string[] = [mount.root];
    for (let i = 0; i < queue.length; i++) {
      if (i >= MAX_WALK_DIRECTORIES) {
        return false;
      }
      const path = queue[i] ?? mount.root;
      this.learn(path);
      const directory = this.#directoryOf(path);
      for (const child of directory === null ? [] : subdirectories(directory)) {
        queue.push(path === '/' ? `/${child}` : `${path}/${child}`);
      }
    }
    return true;
  }

  /** Directory of a path of the hierarchy, null where this mount does not show it. */
  #directoryOf(path: string): string | null {
    if (this.#mount === null) {
      return null;
    }
    const { root, mountPoint } = this.#mount;
    if (root === '/') {
      return join(mountPoint, path);
    }
    return path === root || path.startsWith(`${root}/`)
      ? join(mountPoint, path.slice(root.length))
      : null;
  }

  #remember(id: bigint, path: string): void {
    this.#forgetHalfWhenFull(this.#paths);
    // Deleted first, so that the order of the map is the order of last use.
    this.#paths.delete(id);
    this.#paths.set(id, path);
  }

  #forgetHalfWhenFull(ids: Map<bigint, string> | Set<bigint>): void {
    if (ids.size < MAX_KNOWN) {
      return;
    }
    for (const id of [...ids.keys()].slice(0, MAX_KNOWN / 2)) {
      ids.delete(id);
    }
  }
}

/** @returns null when the directory has gone or can't be seen */
function inodeOf(directory: string): bigint | null {
  try {
    return statSync(directory, { bigint: true, throwIfNoEntry: false })?.ino ?? null;
  } catch {
    // Not to be seen is like not there: the id stays unknown.
    return null;
  }
}

function subdirectories(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    // Cgroups come and go during a walk.
    return [];
  }
}

/** mountinfo writes space, tab, newline and backslash as octal escapes. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
