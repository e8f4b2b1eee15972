/**
 * Runs the test suites: `node dist/test/run.js [SUITE...]`, all by default. Prints the tests as they
 * end, then the reasons of what was skipped, and closes with `N passed, N failed, N skipped`.
 * Exits 1 when anything failed or nothing ran. A file that crashes or runs too long has failed.
 */
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { otherPostgres } from './support/majors.ts';

interface Suite {
  /** Test files at a time. */
  readonly concurrency: number;
  /** Limit for one file, milliseconds. */
  readonly timeoutMs: number;
  /** Only run when it is named. */
  readonly onDemand?: true;
}

/** In the order they run: what fails soonest comes first. */
const SUITES: Readonly<Record<string, Suite>> = {
  unit: { concurrency: availableParallelism(), timeoutMs: 60_000 },
  // As long as asked for, and the time to compile.
  fuzz: { concurrency: 1, timeoutMs: (Number(process.env['FUZZ_SECONDS'] ?? 30) + 300) * 1_000 },
  db: { concurrency: 1, timeoutMs: 240_000 },
  // These look at all connections of the host, so only one file may make some.
  kernel: { concurrency: 1, timeoutMs: 240_000 },
  e2e: { concurrency: 1, timeoutMs: 420_000 },
  // What ttracerd stores, against what programs know of their own connections.
  truth: { concurrency: 1, timeoutMs: 300_000 },
  fleet: { concurrency: 1, timeoutMs: 300_000 },
  // Boots several kernels in QEMU.
  kernels: { concurrency: 1, timeoutMs: 1_800_000 },
  // The same, for some ten minutes.
  'truth-kernels': { concurrency: 1, timeoutMs: 3_600_000, onDemand: true },
};

/** What node:test tells about a test, suite or file that ended. */
interface TestEnd {
  readonly name: string;
  readonly nesting: number;
  readonly file?: string;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly details: { readonly type?: string; readonly error?: { readonly failureType?: string } };
}

/** Counts what the tests of all suites came to. */
class Tally {
  passed = 0;
  failed = 0;
  skipped = 0;
  /** Reasons, with the names of what they kept from running. */
  readonly #reasons = new Map<string, string[]>();
  readonly #failures: string[] = [];
  /** What the tests run on, where they run on several. */
  on = '';

  add(event: 'test:pass' | 'test:fail', end: TestEnd): void {
    const isSuite = end.details.type === 'suite';
    const isFile = end.nesting === 0 && end.file !== undefined && resolve(end.name) === end.file;
    if (end.skip !== undefined && end.skip !== false) {
      this.skipped++;
      this.#note(end.skip === true || end.skip === '' ? 'no reason given' : end.skip, end);
    } else if (event === 'test:fail' && (end.todo === undefined || end.todo === false)) {
      // A suite fails with its tests, which are counted, or by itself.
      if (!isSuite || end.details.error?.failureType !== 'subtestsFailed') {
        this.failed++;
        this.#failures.push(
          `${place(end)}: ${isFile ? 'crashed or ran too long' : end.name}${this.on}`,
        );
      }
    } else if (!isSuite && !isFile) {
      this.passed++;
    } else if (isFile) {
      this.#note('the file has no tests', end);
    }
  }

  /** Something that could not be tried at all. */
  skip(what: string, reason: string): void {
    this.skipped++;
    this.#reasons.set(reason, [...(this.#reasons.get(reason) ?? []), what]);
  }

  /** Ends a run: prints the summary and gives the exit code. */
  finish(print: (line: string) => void): number {
    for (const [reason, names] of this.#reasons) {
      const more = names.length > 5 ? `, and ${names.length - 5} more` : '';
      print(`skipped: ${reason} (${names.slice(0, 5).join(', ')}${more})`);
    }
    for (const failure of this.#failures) {
      print(`failed: ${failure}`);
    }
    if (this.passed + this.failed === 0) {
      print('no test ran');
    }
    print(`${this.passed} passed, ${this.failed} failed, ${this.skipped} skipped`);
    return this.failed > 0 || this.passed === 0 ? 1 : 0;
  }

  #note(reason: string, end: TestEnd): void {
    const names = this.#reasons.get(reason) ?? [];
    names.push(resolve(end.name) === end.file ? place(end) : end.name);
    this.#reasons.set(reason, names);
  }
}

function place(end: TestEnd): string {
  return end.file === undefined ? '' : relative(compiledRoot, end.file);
}

/** dist/test */
const compiledRoot = fileURLToPath(new URL('.', import.meta.url));
/** test: what to run is taken from the sources, dist may still hold tests that were removed. */
const sourceRoot = resolve(compiledRoot, '../../test');

/** Compiled test files of a suite, sorted; none where the suite is not there. */
function filesOf(suite: string): readonly string[] {
  const directory = join(sourceRoot, suite);
  if (!existsSync(directory)) {
    return [];
  }
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(compiledRoot, suite, name.replace(/\.ts$/, '.js')))
    .sort();
}

/** The closing diagnostics of one run (`tests 12`, …): the totals of all suites come at the end. */
const RUN_TOTAL = /^(?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

/** The same suite on every other PostgreSQL there is, unless one was named for it. */
async function runOnOtherPostgres(suite: Suite, tally: Tally): Promise<void> {
  if (process.env['TTRACER_TEST_PG_BIN']) return;
  const others = await otherPostgres();
  if (others.length === 0) {
    tally.skip('test/db on other majors', 'no PostgreSQL besides the bundled one');
  }
  try {
    for (const { major, binDir } of others) {
      tally.on = ` (PostgreSQL ${major})`;
      process.env['TTRACER_TEST_PG_BIN'] = binDir;
      await runSuite('db', suite, tally);
    }
  } finally {
    delete process.env['TTRACER_TEST_PG_BIN'];
    tally.on = '';
    for (const { discard } of others) discard();
  }
}

async function runSuite(name: string, suite: Suite, tally: Tally): Promise<void> {
  const files = filesOf(name);
  if (files.length === 0) {
    return;
  }
  process.stdout.write(`\n${name} tests${tally.on}\n`);
  const events = run({
    files: [...files],
    concurrency: suite.concurrency,
    timeout: suite.timeoutMs,
  });
  events.on('test:pass', (end) => tally.add('test:pass', end as TestEnd));
  events.on('test:fail', (end) => tally.add('test:fail', end as TestEnd));
  const shown = events.filter(
    (event: { type: string; data: { message?: string } }) =>
      event.type !== 'test:diagnostic' || !RUN_TOTAL.test(event.data.message ?? ''),
  );
  for await (const text of shown.compose(new spec())) {
    process.stdout.write(String(text));
  }
}

async function main(names: readonly string[]): Promise<number> {
  const tally = new Tally();
  for (const name of names) {
    const suite = SUITES[name];
    if (suite === undefined) {
      process.stderr.write(`no suite '${name}'; there are ${Object.keys(SUITES).join(', ')}\n`);
      return 2;
    }
    await runSuite(name, suite, tally);
    if (name === 'db') await runOnOtherPostgres(suite, tally);
  }
  process.stdout.write('\n');
  return tally.finish((line) => process.stdout.write(`${line}\n`));
}

const chosen = process.argv.slice(2);
const all = Object.keys(SUITES).filter((name) => !SUITES[name]?.onDemand);
process.exitCode = await main(chosen.length > 0 ? chosen : all);
