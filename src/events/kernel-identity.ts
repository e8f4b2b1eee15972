/** Identity the kernel gave with an event; enough to name a process that is already gone. */
export interface KernelIdentity {
  /** Thread-group id, in the init pid namespace. */
  readonly pid: number;
  /** `start_boottime` of the thread-group leader, nanoseconds since boot. */
  readonly startTimeNs: bigint;
  readonly ppid: number;
  readonly pgid: number;
  /** Effective user id (`cred->euid`, init user namespace): what /proc/PID/status says second. */
  readonly uid: number;
  /** comm of the thread-group leader. */
  readonly comm: string;
  /** Full path walked in the kernel, '' if unknown. */
  readonly exe: string;
  /** cgroup v2 id, 0n if unknown. */
  readonly cgroupId: bigint;
}
