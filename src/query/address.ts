import { BlockList, isIP, SocketAddress } from 'node:net';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/**
 * The one spelling of an IP address that the CMDB uses: IPv6 compressed as PostgreSQL prints it,
 * `::ffff:a.b.c.d` folded into IPv4, an interface zone (`%eth0`) dropped.
 * @returns null when the text is not an IP address
 */
export function canonicalAddress(text: string): string | null {
  const bare = text.replace(/%.*$/, '');
  const version = isIP(bare);
  if (version === 4) return bare;
  if (version !== 6) return null;
  const { address } = new SocketAddress({ address: bare, family: 'ipv6' });
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}

/** True for 127.0.0.0/8 and ::1: both ends are on one host, in one network namespace. */
export function isLoopback(address: string): boolean {
  return LOOPBACK.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** True for a listening address that stands for any address. */
export function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** `10.0.0.1:80` or `[::1]:80`; `port` may be the word `many`. */
export function formatEndpoint(address: string, port: number | string): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
