import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { REPOSITORY } from '../../test/support/run.ts';
import { describeMachine } from '../machine.ts';
import type { OverheadResults } from './report.ts';
import type { Row } from './rows.ts';

const DIRECTORY = join(REPOSITORY, 'bench', 'results');
export const RESULTS_FILE = 'bench/results/overhead.json';

/** Writes what there is so far, in one step; `missing`: workloads that are still to come. */
export async function writeResults(
  rows: readonly Row[],
  missing: readonly string[],
  run: { readonly quick: boolean; readonly seconds: number },
): Promise<void> {
  await mkdir(DIRECTORY, { recursive: true });
  const results: OverheadResults = {
    machine: await describeMachine(),
    ...run,
    complete: missing.length === 0,
    missing,
    rows,
  };
  const file = join(DIRECTORY, 'overhead.json');
  await writeFile(`${file}.new`, `${JSON.stringify(results, undefined, 1)}\n`);
  await rename(`${file}.new`, file);
}
