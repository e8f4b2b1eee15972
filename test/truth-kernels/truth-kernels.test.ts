/**
 * The truth suite on other kernels: boots guests of the kernel matrix, which play the table of cases
 * and a load on every rung, and checks what they found. Takes minutes: run by make
 * test-truth-kernels. TRUTH_KERNELS names the kernels, TRUTH_GUESTS how many run at once.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import type { GuestLine } from '../kernels/guest/lines.ts';
import { KERNELS, prepareGuests, REPOSITORY } from '../kernels/guest-images.ts';
import { type GuestRun, runGuest } from '../kernels/qemu.ts';
import { isExact } from '../truth/judge.ts';
import type { PlayedLoad } from '../truth/load.ts';
import { CASES, type Played } from '../truth/play.ts';
import { report } from '../truth/report.ts';
import { RUNGS, type Rung } from '../truth/watch.ts';

const DIRECTORY = join(REPOSITORY, 'build', 'truth-kernels');
/** Minutes of one guest; what hangs is not waited for. */
const TASK = { program: 'dist/test/truth/guest.js', timeoutS: 900 };
const chosen = process.env['TRUTH_KERNELS']?.split(',') ?? KERNELS;
const atOnce = Number(process.env['TRUTH_GUESTS'] ?? 2);

const guests = await prepareGuests(DIRECTORY);
const slots: Promise<unknown>[] = Array.from({ length: atOnce }, () => Promise.resolve());

for (const [index, name] of KERNELS.filter((kernel) => chosen.includes(kernel)).entries()) {
  const guest = guests.get(name);
  if (guest === undefined || typeof guest === 'string') {
    it(`kernel ${name}`, { skip: guest ?? 'no guest' }, () => undefined);
    continue;
  }
  const slot = index % atOnce;
  const running = (slots[slot] ?? Promise.resolve()).then(() =>
    runGuest(name, guest, DIRECTORY, TASK).catch((error: unknown) => error as Error),
  );
  slots[slot] = running;
  describe(`truth, kernel ${name}`, () => {
    let run: GuestRun;
    before(async () => {
      const ended = await running;
      if (ended instanceof Error) throw ended;
      run = ended;
    });
    for (const rung of RUNGS) declareRung(rung, () => run);
  });
}

function declareRung(rung: Rung, run: () => GuestRun): void {
  const kernel = () => {
    const line = run().lines.find(({ kind }) => kind === 'release');
    return line?.kind === 'release' ? line.release : '?';
  };
  for (const { name } of CASES) {
    it(`${rung}: ${name}`, (test) => {
      const played = (playedOn(run().lines, rung, 'truth') as Played[]).find(
        (one) => one.name === name,
      );
      assert.ok(played, failureOn(run().lines, rung));
      if (played.skip !== null) test.skip(played.skip);
      else report({ case: name, rung, verdict: played.verdict, lost: 0, kernel: kernel() });
      assert.equal(played.fault, '');
    });
  }
  it(`${rung}: load`, (test) => {
    const [played] = playedOn(run().lines, rung, 'truth-load') as PlayedLoad[];
    assert.ok(played, failureOn(run().lines, rung));
    report({ case: 'load', ...played, kernel: kernel() });
    const { verdict, rate, processes, lost } = played;
    test.diagnostic(`${rate} connections/s, ${processes} processes, lost ${lost}`);
    assert.ok(isExact(verdict), JSON.stringify(verdict));
  });
}

function playedOn(lines: readonly GuestLine[], rung: Rung, kind: string): unknown[] {
  return lines.flatMap((line) =>
    line.kind === kind && 'played' in line && line.rung === rung ? [line.played] : [],
  );
}

function failureOn(lines: readonly GuestLine[], rung: Rung): string {
  const failed = playedOn(lines, rung, 'truth-failed').map(String);
  return failed.join('\n') || 'the guest did not get that far';
}
