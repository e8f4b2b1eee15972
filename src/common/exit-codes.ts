/** Exit codes of both commands; documented in the README. */
export const ExitCode = {
  ok: 0,
  /** The question's answer is "no": `--fail-on` matched, no such target. */
  no: 1,
  usage: 2,
  /** No privilege or no kernel support. */
  unsupported: 3,
  cmdbUnreachable: 4,
  /** The CMDB's schema is newer than this program, or not there yet. */
  cmdbSchema: 5,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** An error for people: one line that says what is wrong and what to do. Printed without a stack. */
export class UserError extends Error {
  override readonly name = 'UserError';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
