import { formatAddress } from '../bpf-ts-loader/index.ts';

/**
 * IPv4 addresses of /proc/PID/net/fib_trie: leaves that are LOCAL with all 32 bits. An address is in
 * the trie of more than one table.
 */
export function parseFibTrie(text: string): string[] {
  const found = new Set<string>();
  let leaf = '';
  for (const line of text.split('\n')) {
    const [, address] = /^\s*\|-- ([\d.]+)$/.exec(line) ?? [];
    if (address !== undefined) leaf = address;
    else if (/^\s*\/32 host LOCAL/.test(line)) found.add(leaf);
  }
  return [...found];
}

/** IPv6 addresses of /proc/PID/net/if_inet6: 32 hexadecimal digits at the beginning of a line. */
export function parseIfInet6(text: string): string[] {
  return [...text.matchAll(/^([0-9a-f]{32}) /gm)].flatMap(([, digits]) => {
    if (digits === undefined) return [];
    const bytes = Uint8Array.from(Buffer.from(digits, 'hex'));
    return [formatAddress(new DataView(bytes.buffer), 0)];
  });
}
