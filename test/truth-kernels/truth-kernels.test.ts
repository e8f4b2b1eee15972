/**
 * The truth suite on other kernels: boots guests of the kernel matrix, one that plays the table of cases
 * on every rung and one that bears the load on every rung, and checks what they found. Takes most of an
 * hour: run by make test-truth-kernels. TRUTH_KERNELS names the kernels, TRUTH_PARTS the parts (cases,
 * load), TRUTH_GUESTS how many guests run at once.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import type { GuestLine } from '../kernels/guest/lines.ts';
import { KERNELS, prepareGuests, REPOSITORY } from '../kernels/guest-images.ts';
import { type GuestRun, type GuestTask, runGuest } from '../kernels/qemu.ts';
import { isExact } from '../truth/judge.ts';
import type { PlayedLoad } from '../truth/load.ts';
import { CASES, type Played } from '../truth/play.ts';
import { report } from '../truth/report.ts';
import { RUNGS, type Rung } from '../truth/watch.ts';

const DIRECTORY = join(REPOSITORY, 'build', 'truth-kernels');
/** What hangs is not waited for. The load in full takes an emulated kernel seconds for each of its own. */
const TASKS = {
  load: { program: 'dist/test/truth/guest-load.js', timeoutS: 1_500, clock: 'instructions' },
  cases: { program: 'dist/test/truth/guest.js', timeoutS: 900, clock: 'host' },
} as const satisfies Record<string, GuestTask>;

const kernels = chosen('TRUTH_KERNELS', KERNELS);
const parts = chosen('TRUTH_PARTS', ['load', 'cases'] as const);
const atOnce = Number(process.env['TRUTH_GUESTS'] ?? 2);

const guests = await prepareGuests(DIRECTORY);
const slots: Promise<unknown>[] = Array.from({ length: atOnce }, () => Promise.resolve());
const runs = parts.flatMap((part) => kernels.map((kernel) => ({ part, kernel })));

for (const [index, { part, kernel }] of runs.entries()) {
  const guest = guests.get(kernel);
  if (guest === undefined || typeof guest === 'string') {
    it(`${part}, kernel ${kernel}`, { skip: guest ?? 'no guest' }, () => undefined);
    continue;
  }
  const slot = index % atOnce;
  const running = (slots[slot] ?? Promise.resolve()).then(() =>
    runGuest(kernel, guest, DIRECTORY, TASKS[part]).catch((error: unknown) => error as Error),
  );
  slots[slot] = running;
  describe(`truth, ${part}, kernel ${kernel}`, () => {
    let run: GuestRun;
    before(async () => {
      const ended = await running;
      if (ended instanceof Error) throw ended;
      run = ended;
    });
    const declare = { load: declareLoad, cases: declareCases }[part];
    for (const rung of RUNGS) declare(rung, () => run);
  });
}

function chosen<T extends string>(variable: string, all: readonly T[]): readonly T[] {
  const names = process.env[variable]?.split(',');
  return names === undefined ? all : all.filter((one) => names.includes(one));
}

function declareCases(rung: Rung, run: () => GuestRun): void {
  for (const { name } of CASES) {
    it(`${rung}: ${name}`, (test) => {
      const played = (playedOn(run().lines, rung, 'truth') as Played[]).find(
        (one) => one.name === name,
      );
      assert.ok(played, failureOn(run().lines, rung));
      if (played.skip !== null) test.skip(played.skip);
      else report({ case: name, rung, verdict: played.verdict, lost: 0, kernel: kernelOf(run()) });
      assert.equal(played.fault, '');
    });
  }
}

function declareLoad(rung: Rung, run: () => GuestRun): void {
  it(`${rung}: load`, (test) => {
    const [played] = playedOn(run().lines, rung, 'truth-load') as PlayedLoad[];
    assert.ok(played, failureOn(run().lines, rung));
    report({ case: 'load', ...played, kernel: kernelOf(run()) });
    const { verdict, rate, processes, lost } = played;
    test.diagnostic(`${rate} connections/s, ${processes} processes, lost ${lost}`);
    assert.ok(isExact(verdict), JSON.stringify(verdict));
  });
}

function kernelOf({ lines }: GuestRun): string {
  const line = lines.find(({ kind }) => kind === 'release');
  return line?.kind === 'release' ? line.release : '?';
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
