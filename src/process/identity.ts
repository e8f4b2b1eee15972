/**
 * What is known about the process behind an event: as the kernel gave it, and as it is named and
 * recorded. These types come first in the flow of data; the flow table and the CMDB re-use them.
 */

export type { KernelIdentity } from '../events/kernel-identity.ts';

export interface ContainerRecord {
  /** Container id as the runtime names it in the cgroup path (64 hex digits, usually). */
  readonly containerId: string;
  /**
   * Runtime as far as the cgroup path tells: `docker`, `containerd`, `crio`, `podman`, `lxc`,
   * `nspawn`, ''.
   */
  readonly runtime: string;
}

/** A node: a process as stable over restarts as possible. Never keyed by pid. */
export interface ProcessRecord {
  /** Hash of host, exe, unit or container, uid; {@link UNATTRIBUTED_PROCESS_ID} if unknown. */
  readonly processId: string;
  /** Command name (comm of the thread-group leader), '' when unattributed. */
  readonly name: string;
  readonly exe: string;
  /** First word of the command line only: arguments hold secrets. */
  readonly command: string;
  /** systemd unit, '' when none. */
  readonly unit: string;
  readonly containerId: string | null;
  /** -1 when unknown. */
  readonly uid: number;
  readonly userName: string;
  /** pid and process group of the most recent instance, 0 when unknown. */
  readonly pid: number;
  readonly pgid: number;
}

/** The one process row per host that stands for "a process here, but which one is not known". */
export const UNATTRIBUTED_PROCESS_ID = '0';

/** One running (or lately exited) instance of a node. */
export interface NamedProcess {
  readonly record: ProcessRecord;
  readonly container: ContainerRecord | null;
  readonly ppid: number;
  /**
   * Nanoseconds since boot: exact when the kernel gave it with an event, else a multiple of the
   * 10 ms tick of /proc/PID/stat.
   */
  readonly startTimeNs: bigint;
}
