import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../cmdb/package-root.ts';
import { UserError } from '../common/exit-codes.ts';
import { printable } from '../render/printable.ts';
import { parseCommandLine } from './cli.ts';
import { type Io, isGone, write } from './io.ts';

/** An error nobody foresaw: a bug, or a machine in trouble. Not among the documented codes. */
const UNEXPECTED = 70;

/**
 * Runs `ttctl`.
 * @param argv arguments without interpreter and script
 * @returns the exit code (see `ExitCode`); every error has been told in one line on stderr
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  for (const stream of [io.stdout, io.stderr]) {
    stream.on('error', (error: Error) => {
      // Whoever read the output has had enough; `write` tells of any other error.
      if (!isGone(error)) process.exitCode = UNEXPECTED;
    });
  }
  try {
    const request = await parseCommandLine(argv, packageVersion());
    if (request.kind === 'run') return await request.run(io);
    await write(io.stdout, request.text);
    return 0;
  } catch (error) {
    await write(io.stderr, `ttctl: ${printable(describe(error))}\n`);
    return error instanceof UserError ? error.exitCode : UNEXPECTED;
  }
}

function describe(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replaceAll(/\s*\n\s*/g, ' ').trim();
}

function packageVersion(): string {
  const manifest = join(packageRoot(import.meta.url), 'package.json');
  const parsed: unknown = JSON.parse(readFileSync(manifest, 'utf8'));
  const version =
    typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : null;
  return typeof version === 'string' ? version : 'unknown';
}
