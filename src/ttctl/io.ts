import type { Writable } from 'node:stream';
import { COLOURS, type Palette, PLAIN } from '../render/palette.ts';

/** What the command touches of its process; tests put their own in place. */
export interface Io {
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => Date;
}

/** Writes all of `text`. A reader that has gone away (`| head`) is no error: it had enough. */
export async function write(stream: Writable, text: string): Promise<void> {
  if (stream.destroyed || text === '') return;
  const error = await new Promise<Error | null | undefined>((resolve) => {
    stream.write(text, resolve);
  });
  if (error && !isGone(error)) throw error;
}

/** True for the errors of a pipe whose reader has closed it. */
export function isGone(error: Error): boolean {
  return 'code' in error && (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED');
}

/** Colours only where a terminal shows them and nobody objects (https://no-color.org). */
export function paletteFor(io: Io): Palette {
  const wanted = io.stdout.isTTY === true && !io.env['NO_COLOR'] && io.env['TERM'] !== 'dumb';
  return wanted ? COLOURS : PLAIN;
}
