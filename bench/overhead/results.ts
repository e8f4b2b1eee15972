import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
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

/**
 * Puts the rows of a run of some workloads into the place of those that an earlier run has of them;
 * that one's other rows stay.
 */
export async function mergeResults(rows: readonly Row[]): Promise<boolean> {
  const file = join(DIRECTORY, 'overhead.json');
  if (!existsSync(file)) return false;
  const earlier = JSON.parse(await readFile(file, 'utf8')) as OverheadResults;
  const names = [...new Set(rows.map(({ workload }) => workload))];
  if (earlier.quick || names.some((name) => !earlier.rows.some((row) => row.workload === name))) {
    return false;
  }
  const replaced = earlier.rows.flatMap((row, index) => {
    if (!names.includes(row.workload)) return [row];
    const isFirst = earlier.rows.findIndex(({ workload }) => workload === row.workload) === index;
    return isFirst ? rows.filter(({ workload }) => workload === row.workload) : [];
  });
  const again = [...(earlier.again ?? []), { workloads: names, date: new Date().toISOString() }];
  const text = JSON.stringify({ ...earlier, rows: replaced, again }, undefined, 1);
  await writeFile(`${file}.new`, `${text}\n`);
  await rename(`${file}.new`, file);
  return true;
}
