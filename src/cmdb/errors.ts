import { UserError } from '../common/exit-codes.ts';

/** Why a CMDB takes nothing for now; a word for logs and metrics. */
export type OutageKind =
  | 'unreachable'
  | 'no-answer'
  | 'starting-or-stopping'
  | 'read-only'
  | 'disk-full'
  | 'too-many-connections'
  | 'out-of-resources'
  | 'login-refused'
  | 'no-database'
  | 'no-privilege'
  | 'busy'
  | 'error';

export interface UnavailableOptions extends ErrorOptions {
  readonly resendAll?: boolean;
  readonly maybeCommitted?: boolean;
}

/**
 * The CMDB did not take the batch now, but may later: keep it and write it again at the next flush.
 * Writing twice what was in fact committed changes nothing.
 */
export class CmdbUnavailable extends Error {
  override readonly name = 'CmdbUnavailable';
  readonly kind: OutageKind;
  /**
   * The database lacks rows this agent wrote earlier (it was replaced or emptied): hand over
   * everything known, not only what changed.
   */
  readonly resendAll: boolean;

  /** The answer to the commit is missing: the batch may be there or not. */
  readonly maybeCommitted: boolean;

  constructor(message: string, options: UnavailableOptions = {}) {
    super(message, options);
    this.kind = outageKind(options.cause);
    this.resendAll = options.resendAll ?? false;
    this.maybeCommitted = options.maybeCommitted ?? false;
  }
}

/** The CMDB refused the content of the batch: writing it again can't help. */
export class CmdbRejected extends Error {
  override readonly name = 'CmdbRejected';
}

const SQLSTATE = /^[0-9A-Z]{5}$/;
const FOREIGN_KEY_VIOLATION = '23503';
/** "No partition of relation found for row": a partition was pruned after it had been ensured. */
const CHECK_VIOLATION = '23514';

/** The SQLSTATE of a server error, undefined for anything that is not one. */
export function sqlState(error: unknown): string | undefined {
  // System errors have codes too, and some (EPIPE) look like an SQLSTATE.
  if (!(error instanceof Error) || !('severity' in error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' && SQLSTATE.test(error.code) ? error.code : undefined;
}

/** By SQLSTATE, or its class (PostgreSQL documentation, appendix A). */
const KIND_OF_STATE: Readonly<Record<string, OutageKind>> = {
  '25006': 'read-only',
  '28': 'login-refused',
  '3D000': 'no-database',
  '40': 'busy',
  '42501': 'no-privilege',
  '53': 'out-of-resources',
  '53100': 'disk-full',
  '53300': 'too-many-connections',
  '55': 'busy',
  '57014': 'busy',
  '57P01': 'starting-or-stopping',
  '57P02': 'starting-or-stopping',
  '57P03': 'starting-or-stopping',
};

function outageKind(cause: unknown): OutageKind {
  const state = sqlState(cause);
  if (state !== undefined)
    return KIND_OF_STATE[state] ?? KIND_OF_STATE[state.slice(0, 2)] ?? 'error';
  if (cause instanceof NoAnswer) return 'no-answer';
  return 'unreachable';
}

/** Time ran out: a server or network that swallows what it is sent. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/** One line about any error; connection attempts to several addresses come as an empty aggregate. */
export function describeError(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') {
    return [...new Set(error.errors.map(describeError))].join('; ');
  }
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replaceAll(/\s+/g, ' ').trim();
}

/**
 * Sorts what went wrong in a write into what the flush loop can do about it: retry
 * ({@link CmdbUnavailable}), drop ({@link CmdbRejected}) or give up (UserError, passed through).
 */
export function classifyWriteError(error: unknown): Error {
  if (error instanceof UserError || error instanceof CmdbUnavailable) return error;
  const state = sqlState(error);
  const message = `CMDB write failed: ${describeError(error)}${state ? ` (SQLSTATE ${state})` : ''}`;
  if (state === FOREIGN_KEY_VIOLATION) {
    return new CmdbUnavailable(message, { cause: error, resendAll: true });
  }
  const dataError = state?.startsWith('22') || state?.startsWith('23') || state?.startsWith('21');
  if ((dataError && state !== CHECK_VIOLATION) || error instanceof RangeError) {
    return new CmdbRejected(message, { cause: error });
  }
  return new CmdbUnavailable(message, { cause: error });
}
