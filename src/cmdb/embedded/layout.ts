import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** Where the embedded CMDB keeps what, for one data directory. */
export interface EmbeddedLayout {
  readonly dataDir: string;
  /** Everything of the embedded CMDB; traversable by the account the server runs as. */
  readonly home: string;
  /** PostgreSQL's own data directory. */
  readonly cluster: string;
  readonly log: string;
  /** A function of the data directory alone, so that a client finds the server. */
  readonly socketDir: string;
}

/** Names the socket file; no TCP port of that number is opened. */
export const PORT = 5432;
/** The one role of the cluster. */
export const ROLE = 'transtracer';
/** The database that holds the CMDB. */
export const DATABASE = 'transtracer';

/** `sun_path` of unix(7) has 108 bytes, the last one NUL. */
const SOCKET_PATH_MAX_BYTES = 107;

function fitsSocket(directory: string): boolean {
  return Buffer.byteLength(join(directory, `.s.PGSQL.${PORT}`)) <= SOCKET_PATH_MAX_BYTES;
}

/** @param asRoot whether this process may write to /run, which outlives no reboot either */
export function embeddedLayout(dataDir: string, asRoot: boolean): EmbeddedLayout {
  const absolute = resolve(dataDir);
  const home = join(absolute, 'postgres');
  const near = join(home, 'run');
  const hash = createHash('sha256').update(absolute).digest('hex').slice(0, 16);
  const far = join(asRoot ? '/run' : tmpdir(), `transtracer-${hash}`);
  return {
    dataDir: absolute,
    home,
    cluster: join(home, 'data'),
    log: join(home, 'server.log'),
    socketDir: fitsSocket(near) ? near : far,
  };
}
