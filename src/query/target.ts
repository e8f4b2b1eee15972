import { ExitCode, UserError } from '../common/exit-codes.ts';
import { canonicalAddress } from './address.ts';

/** What a question is about; every form may match several nodes. */
export type Target =
  | { readonly kind: 'endpoint'; readonly address: string | null; readonly port: number | null }
  | { readonly kind: 'host' | 'process' | 'unit' | 'container'; readonly name: string };

/** The accepted forms, for messages and help. */
export const TARGET_FORMS =
  'IP, IP:PORT, [IPV6]:PORT, :PORT, host:NAME, process:NAME, unit:NAME or container:NAME';

/**
 * Parses a TARGET. A bare IPv6 address is never read as address and port: that takes brackets.
 * @throws UserError (usage) naming the value and the accepted forms
 */
export function parseTarget(text: string): Target {
  const trimmed = text.trim();
  if (trimmed.includes('\0')) throw notUnderstood(text);
  const named = /^(host|process|unit|container):(.+)$/s.exec(trimmed);
  if (named?.[1] !== undefined && named[2] !== undefined) {
    return { kind: named[1] as 'host' | 'process' | 'unit' | 'container', name: named[2] };
  }
  const target = parseEndpoint(trimmed);
  if (target === null) throw notUnderstood(text);
  return target;
}

function notUnderstood(text: string): UserError {
  return new UserError(
    ExitCode.usage,
    `TARGET ${JSON.stringify(text)} is not understood; use ${TARGET_FORMS}`,
  );
}

function parseEndpoint(text: string): Target | null {
  const bare = canonicalAddress(text);
  if (bare !== null) return { kind: 'endpoint', address: bare, port: null };
  const bracketed = /^\[([^\]]*)\](?::(\d{1,5}))?$/.exec(text);
  if (bracketed !== null) {
    const inner = bracketed[1] ?? '';
    return inner.includes(':') ? endpoint(inner, bracketed[2]) : null;
  }
  const plain = /^([^:]*):(\d{1,5})$/.exec(text);
  if (plain === null) return null;
  return endpoint(plain[1] === '' ? null : (plain[1] ?? null), plain[2]);
}

function endpoint(address: string | null, portText: string | undefined): Target | null {
  const canonical = address === null ? null : canonicalAddress(address);
  if (address !== null && canonical === null) return null;
  const port = portText === undefined ? null : Number(portText);
  if (port !== null && (port < 1 || port > 65_535)) return null;
  return { kind: 'endpoint', address: canonical, port };
}

/** The TARGET as a person would type it. */
export function formatTarget(target: Target): string {
  if (target.kind !== 'endpoint') return `${target.kind}:${target.name}`;
  const { address, port } = target;
  if (address === null) return `:${port}`;
  if (port === null) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
