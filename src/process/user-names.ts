import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Users come and go rarely; looking for a change more often than this is waste. */
const CHECK_INTERVAL_MS = 1_000;

/** Parses /etc/passwd (passwd(5)); the first entry of a uid wins, as with getpwuid(3). */
export function parsePasswd(text: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name, , uidText] = line.split(':', 3);
    const uid = uidText === undefined || uidText === '' ? Number.NaN : Number(uidText);
    if (name !== undefined && name !== '' && Number.isInteger(uid) && !names.has(uid)) {
      names.set(uid, name);
    }
  }
  return names;
}

/** User names of this host from /etc/passwd, read again when the file changes. */
export class UserNames {
  readonly #path: string;
  readonly #now: () => number;
  #names: ReadonlyMap<number, string> = new Map();
  #version = '';
  #checkAtMs = Number.NEGATIVE_INFINITY;

  constructor(etcRoot: string, now: () => number) {
    this.#path = join(etcRoot, 'passwd');
    this.#now = now;
  }

  /** @returns '' when the file does not know the user */
  nameOf(uid: number): string {
    const now = this.#now();
    if (now >= this.#checkAtMs) {
      this.#checkAtMs = now + CHECK_INTERVAL_MS;
      this.#refresh();
    }
    return this.#names.get(uid) ?? '';
  }

  #refresh(): void {
    try {
      const stat = statSync(this.#path, { throwIfNoEntry: false });
      const version = stat === undefined ? '' : `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
      if (version !== this.#version) {
        this.#names =
          stat === undefined ? new Map() : parsePasswd(readFileSync(this.#path, 'utf8'));
        this.#version = version;
      }
    } catch {
      // Replaced between the two calls, or unreadable: the names known so far are still the best.
      this.#version = '';
    }
  }
}
