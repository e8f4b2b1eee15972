import type { RungFrame } from './frames.ts';

/** What was wrong with a frame; `size` is a known type with a length that is not its own. */
export type FrameProblem = 'length' | 'type' | 'size' | 'value' | 'order' | 'truncated';

/** The byte stream is not one of frames. Nothing after `offset` can be trusted. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
  /** Where the bad frame begins, bytes from the start of the stream. */
  readonly offset: number;
  readonly problem: FrameProblem;

  constructor(offset: number, problem: FrameProblem, why: string) {
    super(`bad frame at byte ${offset}: ${why}`);
    this.offset = offset;
    this.problem = problem;
  }
}

/** Helper and decoder were built from different headers. Trying again can't help. */
export class AbiMismatchError extends Error {
  override readonly name = 'AbiMismatchError';

  constructor(difference: string, options?: ErrorOptions) {
    super(`the helper was built for another version: ${difference}`, options);
  }
}

/** The helper's binary could not be run; `code` is the errno's name, e.g. `ENOENT`. */
export class HelperStartError extends Error {
  override readonly name = 'HelperStartError';
  readonly code: string;

  constructor(path: string, options: { readonly cause: unknown }) {
    const code = errnoName(options.cause);
    const why = code === 'ENOEXEC' ? 'it is no program for this machine (ENOEXEC)' : code;
    super(`cannot run the helper '${path}': ${why}`, options);
    this.code = code;
  }
}

/** What the helper's exit code means; other codes have no agreed meaning. */
export const HELPER_EXIT = { ok: 0, badArguments: 2, unsupported: 3, internal: 70 } as const;

/** The helper ended without being asked to. */
export class HelperExitError extends Error {
  override readonly name = 'HelperExitError';
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Steps of the attach ladder it had reported: with exit code 3 they say why. */
  readonly rungs: readonly RungFrame[];

  constructor(
    exit: { readonly exitCode: number | null; readonly signal: NodeJS.Signals | null },
    rungs: readonly RungFrame[],
    lastLog: string | null,
  ) {
    const how =
      exit.signal === null ? `exit code ${exit.exitCode ?? 'unknown'}` : `signal ${exit.signal}`;
    super(`the helper ended with ${how}${lastLog === null ? '' : `: ${lastLog}`}`);
    this.exitCode = exit.exitCode;
    this.signal = exit.signal;
    this.rungs = rungs;
  }
}

/** The helper said nothing for too long. */
export class HelperTimeoutError extends Error {
  override readonly name = 'HelperTimeoutError';
  /** Frames were not read from it all that time, so the silence may be the reader's fault. */
  readonly lagging: boolean;

  constructor(awaited: string, timeoutMs: number, lagging: boolean) {
    super(
      `the helper sent no ${awaited} within ${timeoutMs} ms` +
        (lagging ? ', while its frames were not being read' : ''),
    );
    this.lagging = lagging;
  }
}

/** There is no helper to ask: not up yet, ended, or stopped. */
export class HelperDownError extends Error {
  override readonly name = 'HelperDownError';
}

function errnoName(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return String(error);
}
