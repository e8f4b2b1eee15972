import { createHash } from 'node:crypto';
import type { Placement } from './cgroup.ts';
import { UNATTRIBUTED_PROCESS_ID } from './identity.ts';

/** What makes two instances the same node. */
export interface NodeIdentity {
  readonly hostId: string;
  readonly exe: string;
  /** Stands in for an unknown `exe`. */
  readonly comm: string;
  readonly placement: Placement;
  readonly uid: number;
}

/**
 * Node id: the first 8 bytes of SHA-256 over the length-prefixed tuple (host, executable, unit or
 * container, user) as a signed 64-bit decimal, never the id that stands for "not known which".
 */
export function processIdOf(node: NodeIdentity): string {
  const { unit, container } = node.placement;
  const tuple = [
    node.hostId,
    node.exe === '' ? `comm:${stableComm(node.comm)}` : node.exe,
    container === null ? `unit:${unit}` : `container:${container.containerId}`,
    String(node.uid),
  ];
  const hash = createHash('sha256')
    .update(tuple.map((field) => `${field.length}:${field}`).join(''))
    .digest();
  const id = hash.readBigInt64BE(0).toString();
  return id === UNATTRIBUTED_PROCESS_ID ? '1' : id;
}

/** Kernel workers carry their CPU and current work in their names: `kworker/u8:1-writeback`. */
function stableComm(comm: string): string {
  return comm.startsWith('kworker/') ? 'kworker' : comm;
}
