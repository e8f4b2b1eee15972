/**
 * The table of cases on the rungs that run on this machine, end to end: what `ttracerd` stored of
 * each, against what the programs themselves logged. The other rungs run in the kernel matrix.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Cleanup } from '../support/cleanup.ts';
import { REPOSITORY, SKIP_UNLESS_ROOT } from '../support/run.ts';
import { CASES, type Played, play } from './play.ts';
import { report } from './report.ts';
import { cmdbStore } from './watch.ts';

const ONLY = process.env['TRUTH_CASE'];

for (const rung of ['tracepoint', 'poll'] as const) {
  describe(`cases, ${rung}`, { skip: SKIP_UNLESS_ROOT }, () => {
    const cleanup = new Cleanup();
    const cases = CASES.filter(({ name }) => ONLY === undefined || name.includes(ONLY));
    let played: readonly Played[] = [];
    before(async () => {
      const store = cleanup.keep(await cmdbStore(), ({ postgres }) => postgres.stop());
      const directory = cleanup.keep(await mkdtemp(join(REPOSITORY, 'build', 'truth-')), (path) =>
        rm(path, { recursive: true, force: true }),
      );
      played = await play({ rung, store, directory, cases });
    });
    after(() => cleanup.run());

    for (const { name } of cases) {
      it(name, (test) => {
        const one = played.find((each) => each.name === name);
        assert.ok(one, 'it was not played');
        if (one.skip !== null) test.skip(one.skip);
        report({ case: name, rung, verdict: one.verdict, lost: 0 });
        assert.equal(one.fault, '');
      });
    }
  });
}
