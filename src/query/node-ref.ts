import { UNATTRIBUTED_PROCESS_ID } from '../flow/records.ts';

/**
 * Which node an end of an edge is. Either a process of a host, or an address: on a known host when
 * only the process is unknown, or anywhere.
 */
export type NodeRef = ProcessRef | AddressRef;

export interface ProcessRef {
  readonly kind: 'process';
  readonly id: string;
  readonly hostId: string;
  readonly processId: string;
}

export interface AddressRef {
  readonly kind: 'address';
  readonly id: string;
  readonly hostId: string | null;
  readonly address: string;
  /** '' or what confines the address (`endScope`). */
  readonly scope: string;
}

/** What confines a host-local address: a host and, unless it is the host's own, a namespace. */
export interface Scope {
  readonly hostId: string;
  readonly netns: string;
}

/**
 * What confines one end of an edge: of a scope `HOST>` only the active address is local, of `HOST<`
 * only the passive one; the other address means the same everywhere.
 */
export function endScope(scope: string, end: 'active' | 'passive'): string {
  const mark = scope.at(-1);
  if (mark !== '>' && mark !== '<') return scope;
  return (mark === '>') === (end === 'active') ? scope.slice(0, -1) : '';
}

/** Reads `HOSTID` or `HOSTID/NETNS`; null for '' (not confined). */
export function parseScope(scope: string): Scope | null {
  if (scope === '') return null;
  const slash = scope.indexOf('/');
  if (slash < 0) return { hostId: scope, netns: '' };
  return { hostId: scope.slice(0, slash), netns: scope.slice(slash + 1) };
}

/** The node of a process, or of the address where the host could not tell which process. */
export function attributedRef(
  hostId: string,
  processId: string,
  address: string,
  scope: string,
): NodeRef {
  if (processId === UNATTRIBUTED_PROCESS_ID) return addressRef(hostId, address, scope);
  return { kind: 'process', id: `${hostId}:${processId}`, hostId, processId };
}

/** The node that stands for whatever uses an address. */
export function addressRef(hostId: string | null, address: string, scope: string): AddressRef {
  const confinement = parseScope(scope);
  if (hostId === null) {
    const suffix = scope === '' ? '' : `%${scope}`;
    return { kind: 'address', id: `ip:${address}${suffix}`, hostId, address, scope };
  }
  const netns = confinement === null || confinement.netns === '' ? '' : `%${confinement.netns}`;
  const id = `${hostId}:${UNATTRIBUTED_PROCESS_ID}@${address}${netns}`;
  return { kind: 'address', id, hostId, address, scope };
}

/** The host that an address of this scope is local to. */
export function scopeHost(scope: string): string {
  return scope.split('/', 1)[0] ?? scope;
}
