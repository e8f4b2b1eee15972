import { NOWHERE, type Placement } from './cgroup.ts';
import type { KernelIdentity } from './identity.ts';
import type { Placer } from './placer.ts';
import type { ProcFs } from './proc-fs.ts';
import type { CacheEntry } from './process-cache.ts';
import { type ProcessStat, sameStart, startTimeNsOf, ticksOf } from './stat.ts';
import { commandWord, printable, withoutDeletedMark } from './text.ts';

/** `(uid_t)-1`, the kernel's "no user". */
const NO_UID = 0xffff_ffff;

/** What a name is made of. */
export interface Facts {
  readonly pid: number;
  readonly startTimeNs: bigint;
  readonly ppid: number;
  readonly pgid: number;
  readonly uid: number;
  readonly comm: string;
  /** '' if unknown. */
  readonly exe: string;
  /** '' if unknown. */
  readonly command: string;
  readonly placement: Placement;
  readonly cgroupId: bigint;
  readonly alive: boolean;
}

/** Gathers what there is to know about one process. */
export class FactFinder {
  readonly #proc: ProcFs;
  readonly #placer: Placer;

  constructor(proc: ProcFs, placer: Placer) {
    this.#proc = proc;
    this.#placer = placer;
  }

  /** /proc/PID/stat, null when the process has gone (a zombie has) or is another one now. */
  liveStat(pid: number, ticks: number | null): ProcessStat | null {
    const stat = this.#proc.stat(pid);
    if (stat === null || (ticks !== null && !sameStart(stat.startTicks, ticks))) {
      return null;
    }
    return /[ZXx]/.test(stat.state) && stat.threads <= 1 ? null : stat;
  }

  /** From the kernel's identity, completed from /proc while the process lives. */
  fromIdentity(identity: KernelIdentity, known: CacheEntry | undefined): Facts {
    const { pid } = identity;
    const stat = this.liveStat(pid, ticksOf(identity.startTimeNs));
    const reader = stat === null ? pid : this.#readablePid(pid, stat);
    const link = stat === null ? 'absent' : this.#proc.exe(reader);
    const exeNow = typeof link === 'string' ? '' : link.text;
    // Before another exec, a cached entry of the same process tells as much as /proc would.
    const cachedExe = known?.comm === identity.comm ? known.named.record.exe : '';
    const exe = identity.exe || exeNow || cachedExe;
    const uid = identity.uid >= 0 || stat === null ? identity.uid : this.#proc.effectiveUid(reader);
    return {
      ...identity,
      uid,
      comm: identity.comm || (stat?.comm ?? ''),
      exe,
      command: exe !== '' && exe === exeNow ? commandWord(this.#proc.cmdline(reader)) : '',
      placement: this.#placementOf(identity, stat === null ? null : reader, known),
      alive: stat !== null,
    };
  }

  #placementOf(
    identity: KernelIdentity,
    reader: number | null,
    known: CacheEntry | undefined,
  ): Placement {
    const live = reader === null ? null : this.#placer.ofLive(reader, identity.cgroupId);
    if (live !== null) {
      return live;
    }
    const stayed =
      known !== undefined && [0n, known.cgroupId || identity.cgroupId].includes(identity.cgroupId);
    return stayed ? known.placement : this.#placer.ofGone(identity);
  }

  /** Everything from /proc; null when the process vanished meanwhile. */
  fromProc(pid: number, stat: ProcessStat, known: CacheEntry | undefined): Facts | null {
    const reader = this.#readablePid(pid, stat);
    const link = this.#proc.exe(reader);
    const uid = this.#proc.effectiveUid(reader);
    const placement = this.#placer.ofLive(reader, 0n);
    const command = commandWord(this.#proc.cmdline(reader));
    const unlinked = link === 'absent' && !stat.kernelThread;
    if (unlinked || uid < 0 || (placement === null && this.#proc.stat(pid) === null)) {
      return null;
    }
    const exe = link === 'denied' ? (known?.named.record.exe ?? '') : '';
    return {
      pid,
      startTimeNs: known?.named.startTimeNs ?? startTimeNsOf(stat.startTicks),
      ppid: stat.ppid,
      pgid: stat.pgid,
      uid,
      comm: stat.comm,
      exe: typeof link === 'string' ? exe : link.text,
      command,
      placement: placement ?? NOWHERE,
      cgroupId: known?.cgroupId ?? 0n,
      alive: true,
    };
  }

  /** A zombie leader whose other threads go on has no executable any more; they do. */
  #readablePid(pid: number, stat: ProcessStat): number {
    return stat.state === 'Z' ? (this.#proc.threads(pid).find((tid) => tid !== pid) ?? pid) : pid;
  }
}

/** Makes the kernel's text presentable; a bare file name instead of a path counts as unknown. */
export function cleanIdentity(identity: KernelIdentity): KernelIdentity {
  const { pid, startTimeNs, ppid, pgid, cgroupId } = identity;
  const comm = printable(identity.comm);
  const path = printable(withoutDeletedMark(identity.exe));
  const exe = path.startsWith('/') ? path : '';
  const uid = identity.uid === NO_UID ? -1 : identity.uid;
  return { pid, startTimeNs, ppid, pgid, uid, comm, exe, cgroupId };
}
