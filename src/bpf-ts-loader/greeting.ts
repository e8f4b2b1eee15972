import { AbiMismatchError, FrameError } from './errors.ts';
import type { Frame, HelloFrame, RungFrame } from './frames.ts';
import { ABI_VERSION, DONE, FIRST, FLOW, LISTEN, STATS } from './layout.ts';

/** What a helper says before it begins to report: how it attached, and what it tried before. */
export interface Greeting {
  readonly hello: HelloFrame;
  readonly rungs: readonly RungFrame[];
}

/** The ladder has four rungs; a helper that reports many more attempts is out of its mind. */
const MAX_RUNG_FRAMES = 64;

/** Takes the frames up to and including HELLO. */
export class GreetingReader {
  readonly #rungs: RungFrame[] = [];

  /** Steps of the attach ladder so far. */
  get rungs(): readonly RungFrame[] {
    return this.#rungs;
  }

  /**
   * @param offset where the stream stands, for the error
   * @returns null until HELLO has come
   * @throws AbiMismatchError; FrameError for anything but RUNG frames before HELLO
   */
  take(frame: Frame, offset: number): Greeting | null {
    if (frame.type === 'hello') {
      checkAbi(frame);
      return { hello: frame, rungs: this.#rungs };
    }
    if (frame.type !== 'rung' || this.#rungs.length >= MAX_RUNG_FRAMES) {
      throw new FrameError(offset, 'order', `a frame of type ${frame.type} in place of hello`);
    }
    this.#rungs.push(frame);
    return null;
  }
}

/**
 * What an error met before HELLO means. A well-formed frame that has not our size or numbers tells
 * of another version; anything else is just garbage.
 */
export function explainGreetingError(error: Error): Error {
  return error instanceof FrameError && (error.problem === 'size' || error.problem === 'value')
    ? new AbiMismatchError(error.message, { cause: error })
    : error;
}

function checkAbi(hello: HelloFrame): void {
  const differences = [
    ['ABI version', hello.abiVersion, ABI_VERSION],
    ['size of flow frames', hello.frameSizes.flow, FLOW.size],
    ['size of first frames', hello.frameSizes.first, FIRST.size],
    ['size of listen frames', hello.frameSizes.listen, LISTEN.size],
    ['size of stats frames', hello.frameSizes.stats, STATS.size],
    ['size of done frames', hello.frameSizes.done, DONE.size],
  ]
    .filter(([, theirs, ours]) => theirs !== ours)
    .map(([what, theirs, ours]) => `${what} ${theirs}, not ${ours}`);
  if (differences.length > 0) {
    throw new AbiMismatchError(differences.join('; '));
  }
}
