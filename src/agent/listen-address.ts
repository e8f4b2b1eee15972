import { isIP } from 'node:net';
import { ExitCode, UserError } from '../common/exit-codes.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Parses `IP:PORT`, `[IPV6]:PORT`, `localhost:PORT` or `:PORT` (loopback).
 * @throws UserError (usage)
 */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? (match?.[2] || '127.0.0.1');
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535 || (host !== 'localhost' && !isIP(host))) {
    throw new UserError(
      ExitCode.usage,
      `--listen: '${text}' is not an address; use IP:PORT, [IPV6]:PORT or :PORT for loopback`,
    );
  }
  return { host, port };
}
