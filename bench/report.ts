/**
 * Writes the results of the benchmarks into docs/benchmarks.md, each kind between its own markers, so
 * that one can be run without the others: `make bench-report`.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { REPOSITORY } from '../test/support/run.ts';
import { type CmdbResults, cmdbSection } from './cmdb/report.ts';
import type { Profiles } from './overhead/profiles.ts';
import { type OverheadResults, overheadSection, type Section } from './overhead/report.ts';

const DOCUMENT = join(REPOSITORY, 'docs', 'benchmarks.md');
const CHARTS = join(REPOSITORY, 'docs', 'benchmarks');

/** Kinds of benchmarks by the name of their results file, in the order of the document. */
const SECTIONS: Readonly<Record<string, (results: never) => Section>> = {
  overhead: (results: OverheadResults) => overheadSection(results, profiles),
  cmdb: (results: CmdbResults) => cmdbSection(results),
};

/** Committed, unlike the results: taken by hand when there is something to explain. */
const PROFILES = join(REPOSITORY, 'bench', 'overhead', 'profiles.json');

const profiles = existsSync(PROFILES)
  ? (JSON.parse(await readFile(PROFILES, 'utf8')) as Profiles)
  : undefined;

const PREFACE = `# Benchmarks

Made from the results of \`make bench\` and \`make bench-cmdb\` by a script; do not edit.
`;

const names = Object.keys(SECTIONS);

/** Where a section is that is there, or belongs when it is not: before those that come after it. */
function placeOf(document: string, name: string): readonly [from: number, to: number] {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from >= 0 && to >= 0) return [from, to + end.length];
  const later = names
    .slice(names.indexOf(name) + 1)
    .map((other) => document.indexOf(`<!-- ${other}: begin -->`))
    .find((index) => index >= 0);
  return [later ?? document.length, later ?? document.length];
}

function insert(document: string, name: string, text: string): string {
  const [from, to] = placeOf(document, name);
  const block = `<!-- ${name}: begin -->\n${text}\n<!-- ${name}: end -->`;
  const isNew = from === to;
  return `${document.slice(0, from)}${isNew && from === document.length ? '\n' : ''}${block}${isNew ? '\n\n' : ''}${document.slice(to)}`;
}

let document = existsSync(DOCUMENT) ? await readFile(DOCUMENT, 'utf8') : PREFACE;
for (const [name, section] of Object.entries(SECTIONS)) {
  const file = join(REPOSITORY, 'bench', 'results', `${name}.json`);
  if (!existsSync(file)) continue;
  const { markdown, charts } = section(JSON.parse(await readFile(file, 'utf8')) as never);
  document = insert(document, name, markdown);
  await mkdir(CHARTS, { recursive: true });
  for (const [chart, svg] of Object.entries(charts)) await writeFile(join(CHARTS, chart), svg);
}
await writeFile(DOCUMENT, `${document.trimEnd()}\n`);
