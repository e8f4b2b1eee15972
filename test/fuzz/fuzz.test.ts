/**
 * Runs each fuzz target on its seeds and then on whatever libFuzzer makes of them, for FUZZ_SECONDS
 * in all (default 30). An input that fails is kept in build/fuzz/ and named.
 */
import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { REPOSITORY, run, runOk } from '../support/run.ts';

const TARGETS = ['diag', 'frames', 'proc', 'requests', 'table'];
const SOURCES = join(REPOSITORY, 'test', 'fuzz');
const BUILT = join(REPOSITORY, 'build', 'fuzz');
const SECONDS = Math.max(1, Math.round(Number(process.env['FUZZ_SECONDS'] ?? 30) / TARGETS.length));

async function missing(): Promise<string | false> {
  const runtime = await run('sh', ['-c', 'ls "$(clang --print-runtime-dir)"/*fuzzer*']);
  return runtime.code === 0 ? false : 'clang has no libFuzzer: install libclang-rt-dev';
}

describe('fuzzing', { skip: await missing() }, () => {
  before(async () => {
    await runOk('make', ['-s', '-C', SOURCES], { timeoutMs: 120_000 });
  });

  for (const target of TARGETS) {
    it(`${target}, ${SECONDS} s`, async (t) => {
      const found = join(BUILT, `${target}-corpus`);
      await rm(found, { recursive: true, force: true });
      await mkdir(found, { recursive: true });
      const argv = [
        `-max_total_time=${SECONDS}`,
        '-max_len=4096',
        '-timeout=10',
        '-rss_limit_mb=1024',
        '-print_final_stats=1',
        `-artifact_prefix=${join(BUILT, `${target}-`)}`,
        found,
        join(SOURCES, 'corpus', target),
      ];
      const timeoutMs = (SECONDS + 30) * 1_000;
      const { code, stderr } = await run(join(BUILT, target), argv, { timeoutMs });
      assert.equal(code, 0, stderr.slice(-8_000));
      t.diagnostic(`${/executed_units: +(\d+)/.exec(stderr)?.[1]} inputs`);
    });
  }
});
