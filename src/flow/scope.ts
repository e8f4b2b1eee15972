/**
 * Does the address mean something only on the host (or link) it was seen on, wherever it is?
 * Addresses are in canonical text (RFC 5952): 127.0.0.0/8, 169.254.0.0/16 (RFC 3927), ::1 and
 * fe80::/10 (RFC 4291).
 */
export function isHostLocal(address: string): boolean {
  return /^(?:127\.|169\.254\.|::1$|fe[89ab][0-9a-f]:)/.test(address);
}

/** `''` for the host's own network namespace, `net:INUM` for any other. */
export function netnsLabel(netns: number, homeNetns: number): string {
  return netns === homeNetns ? '' : `net:${netns}`;
}

/** Ends of a connection, and which of its addresses mean something only on this host. */
export interface ScopeQuestion {
  readonly hostId: string;
  /** Namespace of the socket: `''` is the host's own. */
  readonly netns: string;
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly isLocal: (address: string) => boolean;
}

/**
 * What confines an edge, so that the same addresses on two hosts never meet: '' when both mean the
 * same everywhere, else the host. Loopback is confined to its network namespace too; other local
 * networks join the namespaces of a host. Where only one address is local, the mark says which:
 * `HOST>` the active one (a container that connects outwards), `HOST<` the passive one (a published
 * port). Both ends on one kernel compute the same.
 */
export function scopeOf(question: ScopeQuestion): string {
  const { hostId, netns, activeAddress, passiveAddress, isLocal } = question;
  const activeLocal = isLocal(activeAddress);
  const passiveLocal = isLocal(passiveAddress);
  if (!activeLocal && !passiveLocal) return '';
  const loopback = isLoopback(activeAddress) || isLoopback(passiveAddress);
  const place = loopback && netns !== '' ? `${hostId}/${netns}` : hostId;
  if (activeLocal && passiveLocal) return place;
  return `${place}${activeLocal ? '>' : '<'}`;
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
