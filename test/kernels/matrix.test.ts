/**
 * The kernel matrix: boots Debian's kernels in QEMU and holds what the helper and the agent can do
 * there against expected.json. Also fails when something works that is not expected to.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { CONDITIONS, type Condition, type GuestLine, RUNGS, type Rung } from './guest/lines.ts';
import { KERNELS, type KernelName, prepareGuests, REPOSITORY } from './guest-images.ts';
import { type GuestRun, runGuest } from './qemu.ts';

/** This machine's cores do the emulation; a third guest would only slow down the other two. */
const GUESTS_AT_ONCE = 2;
const DIRECTORY = join(REPOSITORY, 'build', 'kernels');

type Expected = Readonly<Record<KernelName, Readonly<Record<Condition | 'pins', readonly Rung[]>>>>;
const expected = JSON.parse(
  readFileSync(join(REPOSITORY, 'test', 'kernels', 'expected.json'), 'utf8'),
) as Expected;

const guests = await prepareGuests(DIRECTORY);
const runs = startRuns();

for (const name of KERNELS) {
  const guest = guests.get(name);
  const skip = typeof guest === 'string' ? guest : false;
  describe(`kernel ${name}`, { skip }, () => {
    let run: GuestRun;
    before(async () => {
      const result = await runs.get(name);
      if (!result) throw new Error(`no guest was started for ${name}`);
      if (result instanceof Error) throw result;
      run = result;
    });

    it('boots, and its program ends well', (t) => {
      for (const line of run.lines) {
        if (line.kind === 'release') t.diagnostic(`${line.release}: ${run.elapsedMs} ms`);
      }
      if (run.retriedAfter !== null) t.diagnostic(`second try, after: ${run.retriedAfter}`);
      assert.equal(run.exitCode, 0);
    });
    for (const condition of CONDITIONS) {
      for (const rung of RUNGS) {
        it(`${condition}: ${rung}`, () => checkRung(run.lines, name, condition, rung));
      }
    }
    for (const rung of RUNGS.filter((each) => each !== 'poll')) {
      it(`pins: ${rung}`, () => checkPins(run.lines, name, rung));
    }
    const noAgent = existsSync(join(REPOSITORY, 'bin', 'ttracerd')) ? false : 'no bin/ttracerd yet';
    for (const rung of RUNGS) {
      it(`ttracerd traces connections: ${rung}`, { skip: noAgent }, () => {
        const line = run.lines.find((one) => one.kind === 'end-to-end' && one.rung === rung);
        assert.ok(line?.kind === 'end-to-end', 'the guest did not get that far');
        assert.ok(line.passed, line.detail);
      });
    }
  });
}

function checkRung(
  lines: readonly GuestLine[],
  name: KernelName,
  condition: Condition,
  rung: Rung,
): void {
  const line = lines.find((one) => one.kind === 'probe' && one.condition === condition);
  assert.ok(line?.kind === 'probe', 'the guest did not get that far');
  const answer = line.answers.find((one) => one.probe === 'rung' && one.rung === rung);
  assert.ok(answer, `no answer from ttracer-helper --probe (${line.end})\n${line.stderr}`);
  const isExpected = expected[name][condition].includes(rung);
  assert.equal(
    answer.ok,
    isExpected,
    isExpected
      ? `refused: ${answer.detail ?? answer.errno ?? ''}\n${line.stderr}`
      : `works, against expected.json: ${answer.detail ?? ''}`,
  );
}

/** Where links can't be pinned the helper must say so, and go on. */
function checkPins(lines: readonly GuestLine[], name: KernelName, rung: Rung): void {
  const line = lines.find((one) => one.kind === 'pins' && one.rung === rung);
  assert.ok(line?.kind === 'pins', 'the guest did not get that far');
  const isExpected = expected[name].pins.includes(rung);
  assert.equal(line.pinned, isExpected, line.detail);
  if (isExpected) assert.ok(line.passed, line.detail);
  else assert.match(line.detail, /^not pinned: cannot pin: /);
}

/** Starts all guests, {@link GUESTS_AT_ONCE} at a time. A failed one gives its error as value. */
function startRuns(): ReadonlyMap<KernelName, Promise<GuestRun | Error>> {
  const slots: Promise<unknown>[] = Array.from({ length: GUESTS_AT_ONCE }, () => Promise.resolve());
  const started = new Map<KernelName, Promise<GuestRun | Error>>();
  for (const name of KERNELS) {
    const guest = guests.get(name);
    if (guest === undefined || typeof guest === 'string') continue;
    const slot = started.size % GUESTS_AT_ONCE;
    const run = (slots[slot] ?? Promise.resolve()).then(() =>
      runGuest(name, guest, DIRECTORY).catch((error: unknown) =>
        error instanceof Error ? error : new Error(String(error)),
      ),
    );
    slots[slot] = run;
    started.set(name, run);
  }
  return started;
}
