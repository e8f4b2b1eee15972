/**
 * Does the address mean something only on the host (or link) it was seen on? Addresses are in
 * canonical text (RFC 5952): 127.0.0.0/8, 169.254.0.0/16 (RFC 3927), ::1 and fe80::/10 (RFC 4291).
 */
export function isHostLocal(address: string): boolean {
  return /^(?:127\.|169\.254\.|::1$|fe[89ab][0-9a-f]:)/.test(address);
}

/** `''` for the host's own network namespace, `net:INUM` for any other. */
export function netnsLabel(netns: number, homeNetns: number): string {
  return netns === homeNetns ? '' : `net:${netns}`;
}

/**
 * What confines an edge: '' for addresses that mean the same everywhere, else the host and, off its
 * own namespace, the namespace. So two hosts' loopback edges never meet.
 */
export function scopeOf(hostId: string, netnsName: string, local: string, peer: string): string {
  if (!isHostLocal(local) && !isHostLocal(peer)) return '';
  return netnsName === '' ? hostId : `${hostId}/${netnsName}`;
}
