import { readFileSync } from 'node:fs';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import type { AgentOptions } from './options.ts';

/** Bits of CapEff (include/uapi/linux/capability.h). */
const CAPABILITY_BITS = {
  CAP_DAC_READ_SEARCH: 2n,
  CAP_SYS_PTRACE: 19n,
  CAP_SYS_ADMIN: 21n,
  CAP_PERFMON: 38n,
  CAP_BPF: 39n,
} as const;

type Capability = keyof typeof CAPABILITY_BITS;

/** Capabilities that this process has in effect; empty where /proc does not tell. */
export function effectiveCapabilities(status: string): ReadonlySet<Capability> {
  const bits = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const names = Object.keys(CAPABILITY_BITS) as Capability[];
  return new Set(names.filter((name) => (bits >> CAPABILITY_BITS[name]) & 1n));
}

/** What is missing for tracing the whole host, for people; null when nothing is. */
export function missingForTracing(held: ReadonlySet<Capability>): string | null {
  const bpf = held.has('CAP_SYS_ADMIN') || (held.has('CAP_BPF') && held.has('CAP_PERFMON'));
  const proc = held.has('CAP_SYS_PTRACE') && held.has('CAP_DAC_READ_SEARCH');
  const missing = [
    ...(bpf ? [] : ['CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN) to trace in the kernel']),
    ...(proc ? [] : ["CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH to name other users' processes"]),
  ];
  return missing.length === 0 ? null : missing.join('; ');
}

/**
 * Refuses to run half-blind unless that was asked for: polling works without privilege, but names
 * only processes of the same user.
 * @param status this process's /proc/PID/status
 * @returns a warning for the log, null when all is there
 * @throws UserError (unsupported)
 */
export function checkPrivileges(
  options: Pick<AgentOptions, 'mode' | 'once'>,
  status = readFileSync('/proc/self/status', 'utf8'),
): string | null {
  const missing = missingForTracing(effectiveCapabilities(status));
  if (missing === null) return null;
  // --once takes a snapshot, as polling does.
  if (options.mode === 'poll' || options.once)
    return `names only processes of this user: missing ${missing}`;
  throw new UserError(
    ExitCode.unsupported,
    `missing ${missing}. Run as root; --mode poll works without, naming only your own processes`,
  );
}
