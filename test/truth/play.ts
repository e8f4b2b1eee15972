import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../support/cleanup.ts';
import { type Case, type Expectation, expectationOf, type Steps } from './cases/case.ts';
import { OPENING } from './cases/opening.ts';
import { OWNING } from './cases/owning.ts';
import { REACH } from './cases/reach.ts';
import {
  flowsAmong,
  isExact,
  isExactButForNames,
  judge,
  type StoredFlow,
  type Verdict,
} from './judge.ts';
import { Places, Scene } from './scene.ts';
import { type Rung, type Store, Watch } from './watch.ts';

export const CASES: readonly Case[] = [...REACH, ...OPENING, ...OWNING];

/** How a case went on a rung. */
export interface Played {
  readonly name: string;
  readonly rung: Rung;
  readonly expectation: Expectation;
  readonly verdict: Verdict;
  /** Why it could not be played here; then the verdict says nothing. */
  readonly skip: string | null;
  /** What is not as expected, '' when all is. */
  readonly fault: string;
}

export interface PlayOptions {
  readonly rung: Rung;
  readonly store: Store;
  /** On the file system of the build. */
  readonly directory: string;
  readonly cases?: readonly Case[];
  /** Cases that run at a time. */
  readonly atOnce?: number;
}

interface OnStage {
  readonly it: Case;
  readonly scene: Scene;
  readonly steps: Steps;
  error: unknown;
}

const SETTLE_MS = 12_000;
/** Time for what the actors' ends lead to: a close that is counted twice comes late. */
const AFTERMATH_MS = 2_500;

/** Plays cases under the eyes of one `ttracerd` and judges each by what is stored in the end. */
export async function play(options: PlayOptions): Promise<Played[]> {
  const { rung, store, directory, cases = CASES, atOnce = 6 } = options;
  const cleanup = new Cleanup();
  try {
    const places = await Places.create(cleanup);
    const able = cases.filter((it) => !it.unable?.());
    const staged = able.map((it, index) => stage(it, index, { rung, directory, places, cleanup }));
    await each(staged, atOnce, ({ steps }) => steps.before?.());
    const watch = await Watch.start({ rung, store, directory });
    cleanup.keep(watch, (it) => it.kill());
    await Promise.all([
      watch.ready(),
      each(staged, staged.length, ({ steps }) => steps.during?.()),
    ]);
    await each(staged, atOnce, ({ steps }) => steps.run?.());
    await watch.settled(
      ({ flows }) => staged.every((one) => faultOf(one, rung, flows) === ''),
      SETTLE_MS,
    );
    await Promise.all(staged.map(({ scene }) => scene.end()));
    await sleep(AFTERMATH_MS);
    const { flows } = await watch.stop();
    return [
      ...staged.map((one) => result(one, rung, flows)),
      ...cases.flatMap((it) => skipped(it, rung, it.unable?.() ?? null)),
    ];
  } finally {
    await cleanup.run();
  }
}

function stage(
  it: Case,
  index: number,
  {
    rung,
    directory,
    places,
    cleanup,
  }: { rung: Rung; directory: string; places: Places; cleanup: Cleanup },
): OnStage {
  const scene = new Scene(join(directory, `${rung}-${index}`), places);
  cleanup.keep(scene, (one) => one.end());
  return { it, scene, steps: it.play(scene), error: null };
}

/** Takes a step of every case; one that fails says so at the end, and the others go on. */
async function each(
  staged: readonly OnStage[],
  atOnce: number,
  step: (one: OnStage) => Promise<unknown> | undefined,
): Promise<void> {
  const waiting = [...staged];
  const work = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      try {
        await step(one);
      } catch (error) {
        one.error ??= error;
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

function verdictOf({ scene }: OnStage, flows: readonly StoredFlow[]): Verdict {
  const truth = scene.truth();
  return judge(truth, flowsAmong(truth, flows));
}

function faultOf(one: OnStage, rung: Rung, flows: readonly StoredFlow[]): string {
  if (one.error !== null) return `the case itself failed: ${String(one.error)}`;
  const verdict = verdictOf(one, flows);
  const expected = expectationOf(one.it, rung);
  if (verdict.happened === 0) return 'nothing happened';
  const { mismatches, wrongTotals, wrongProcess, missing, invented } = verdict;
  const details = JSON.stringify({ wrongProcess, missing, invented, mismatches, wrongTotals });
  if (expected === 'exact') return isExact(verdict) ? '' : details;
  if (expected === 'unnamed') return isExactButForNames(verdict) ? '' : details;
  const asExpected =
    missing <= (expected.missing ?? 0) &&
    invented <= (expected.invented ?? 0) &&
    wrongProcess <= (expected.wrongProcess ?? 0);
  return asExpected ? '' : `against '${expected.why}': ${details}`;
}

function result(one: OnStage, rung: Rung, flows: readonly StoredFlow[]): Played {
  return {
    name: one.it.name,
    rung,
    expectation: expectationOf(one.it, rung),
    verdict: verdictOf(one, flows),
    skip: null,
    fault: faultOf(one, rung, flows),
  };
}

function skipped(it: Case, rung: Rung, skip: string | null): Played[] {
  if (skip === null) return [];
  const [expectation, verdict] = [expectationOf(it, rung), judge([], [])];
  return [{ name: it.name, rung, expectation, verdict, skip, fault: '' }];
}
