import { execFile } from 'node:child_process';
import { type LookupAddress, lookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';

/** Exit status of getent(1) for "not found". */
const NOT_FOUND = 2;

/** Parses `getent ahosts`: an address, a socket type and perhaps a name a line. */
export function parseAhosts(output: string): LookupAddress[] {
  const addresses = output
    .split('\n')
    .map((line) => line.split(/\s/)[0] ?? '')
    .filter((address) => isIP(address) !== 0);
  return [...new Set(addresses)].map((address) => ({ address, family: isIP(address) }));
}

/**
 * Looks names up as `dns.lookup` does, but in a process that can be killed. A getaddrinfo() that
 * waits for a silent name server can't be given up: it holds a thread that file operations need, and
 * this process could not exit before it is done.
 */
export function killableLookup(timeoutMs: number): LookupFunction {
  return (hostname, options, callback) => {
    const limits = { timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
    execFile('getent', ['ahosts', '--', hostname], limits, (error, stdout) => {
      // No getent on this system.
      if (error?.code === 'ENOENT') return lookup(hostname, options, callback);
      const all = parseAhosts(stdout);
      const [first] = all;
      if (error || !first) {
        const isUnknown = error?.code === NOT_FOUND || !error;
        const why = isUnknown ? 'no such host' : 'the name service did not answer';
        return callback(new Error(`can't look up ${hostname}: ${why}`), '', 0);
      }
      if (options.all) return callback(null, all);
      return callback(null, first.address, first.family);
    });
  };
}
