import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  AbiMismatchError,
  HELPER_EXIT,
  HelperExitError,
  type HelperOptions,
  HelperStartError,
  HelperSupervisor,
} from '../bpf-ts-loader/index.ts';
import { packageRoot } from '../cmdb/package-root.ts';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import { MAX_KERNEL_FLOWS } from '../events/kernel-limits.ts';
import type { AgentOptions } from './options.ts';

/** Where the helper is: `TTRACER_HELPER`, else as built or installed with this package. */
function helperPath(env: NodeJS.ProcessEnv): string {
  return env['TTRACER_HELPER'] || join(packageRoot(import.meta.url), 'build', 'ttracer-helper');
}

/**
 * The helper's arguments (bpf/helper/options.c).
 * @param pinDir where it leaves programs and counts for its successor; null: nowhere
 */
export function helperArguments(options: AgentOptions, pinDir: string | null): string[] {
  const { mode, attach, netns, once } = options;
  return [
    ...['--mode', once ? 'poll' : mode],
    ...(once ? ['--time-wait'] : ['--attach', attach]),
    ...['--netns', netns, '--max-flows', String(MAX_KERNEL_FLOWS)],
    ...(pinDir === null ? [] : ['--pin', pinDir]),
  ];
}

/** @throws UserError (unsupported) when there is no helper */
export function superviseHelper(
  options: AgentOptions,
  pinDir: string | null,
  env: NodeJS.ProcessEnv,
  onLog: (line: string) => void,
): HelperSupervisor {
  const path = helperPath(env);
  if (!existsSync(path)) {
    throw new UserError(ExitCode.unsupported, `no helper at ${path}: build it with make build`);
  }
  const helper: HelperOptions = { path, args: helperArguments(options, pinDir), onLog };
  return new HelperSupervisor({ helper });
}

/** What a final failure of the helper means to people. */
export function explainFailure(error: unknown, options: AgentOptions): unknown {
  const unsupported = (message: string) =>
    new UserError(ExitCode.unsupported, message, { cause: error });
  if (error instanceof HelperExitError && error.exitCode === HELPER_EXIT.unsupported) {
    const wanted =
      options.attach === 'auto' ? `--mode ${options.mode}` : `--attach ${options.attach}`;
    const reasons = error.rungs
      .filter((rung) => rung.error !== 0)
      .map(({ rung, text }) => `${rung}: ${text}`);
    return unsupported(`${wanted} can't run here (${reasons.join('; ')}); ttctl doctor tells more`);
  }
  if (error instanceof HelperStartError) {
    return unsupported(`the helper can't be started: ${error.message}`);
  }
  if (error instanceof AbiMismatchError) {
    return unsupported(`the helper is of another version (${error.message}); build both anew`);
  }
  return error;
}
