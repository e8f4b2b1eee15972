const UNPRINTABLE = /[\p{Cc}\p{Cs}]/gu;
const DELETED = ' (deleted)';

/**
 * Makes text that came from another process safe to store and show: control characters, NUL and
 * lone surrogates become U+FFFD, as the decoder already made of invalid UTF-8.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '\uFFFD');
}

/** Strips what the kernel appends to the path of an unlinked file or removed cgroup. */
export function withoutDeletedMark(path: string): string {
  return path.endsWith(DELETED) ? path.slice(0, -DELETED.length) : path;
}

/** Last component of a path; '' of ''. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/**
 * The program as it was called: the first argument, and of that only the part before the first
 * space, since a program that rewrites its title puts everything there (`nginx: worker process`).
 * Nothing behind it is ever kept: arguments hold secrets.
 * @param cmdline contents of /proc/PID/cmdline, possibly cut short
 */
export function commandWord(cmdline: string): string {
  const end = cmdline.search(/[\0 ]/);
  const word = end < 0 ? cmdline : cmdline.slice(0, end);
  return printable(word.endsWith(':') ? word.slice(0, -1) : word);
}

/**
 * Name of a process for people: comm, unless it says nothing (Node >= 24 names its main thread
 * instead of the program), then the executable's.
 */
export function processName(comm: string, exe: string): string {
  const silent = comm === '' || comm === 'MainThread' || comm === 'node-MainThread';
  return silent ? baseName(exe) || comm : comm;
}
