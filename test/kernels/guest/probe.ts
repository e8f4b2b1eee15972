import type { Condition, ProbeAnswer, ProbeLine } from './lines.ts';
import { runProgram } from './run-program.ts';

const HELPER = 'build/ttracer-helper';
const TIMEOUT_MS = 60_000;

/** Asks the helper what this kernel can do under `condition`. */
export async function probe(condition: Condition): Promise<ProbeLine> {
  const started = Date.now();
  const command = [HELPER, '--probe'];
  const wrapped = condition === 'bare' ? command : ['build/no-bpf', condition, ...command];
  const [program = '', ...args] = wrapped;
  const run = await runProgram(program, args, TIMEOUT_MS);
  const { answers, other } = parseAnswers(run.stdout);
  return {
    kind: 'probe',
    condition,
    answers,
    end: run.end,
    stderr: [run.stderr, ...other].join('\n').trim(),
    elapsedMs: Date.now() - started,
  };
}

/** Lines that are no answers are kept aside: a helper that crashed may have left half of one. */
function parseAnswers(stdout: string): { answers: ProbeAnswer[]; other: string[] } {
  const answers: ProbeAnswer[] = [];
  const other: string[] = [];
  for (const line of stdout.split('\n').filter((text) => text !== '')) {
    try {
      answers.push(JSON.parse(line) as ProbeAnswer);
    } catch (error) {
      other.push(`stdout, not JSON (${String(error)}): ${line}`);
    }
  }
  return { answers, other };
}
