import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { parseDurationMs } from '../../common/duration.ts';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { loadCoverage } from '../../query/coverage.ts';
import { LiveView } from '../../query/live.ts';
import {
  type LiveFormat,
  renderLive,
  renderLiveEnd,
  renderLiveStart,
} from '../../render/live-text.ts';
import { type Io, paletteFor, write } from '../io.ts';
import { type CmdbArguments, cmdbOptions } from '../options.ts';
import { withReader } from '../session.ts';
import type { Argv } from '../yargs-types.ts';

export interface WatchArguments extends CmdbArguments {
  readonly interval: string;
  readonly for: string | undefined;
  readonly format: LiveFormat;
}

const MIN_INTERVAL_MS = 500;
const COVERAGE_MS = 600_000;

export function watchOptions(yargs: Argv): Argv<WatchArguments> {
  const described = yargs
    .option('interval', {
      type: 'string',
      default: '2s',
      requiresArg: true,
      describe: 'time between looks at the CMDB, at least 500ms',
    })
    .option('for', {
      type: 'string',
      requiresArg: true,
      describe: 'end after this long [at Ctrl-C]',
    })
    .option('format', {
      choices: ['tree', 'jsonl'] as const,
      default: 'tree' as LiveFormat,
      requiresArg: true,
      describe: 'a line of text or of JSON for each edge',
    });
  return cmdbOptions(described) as unknown as Argv<WatchArguments>;
}

/** `ttctl watch`: edges as they appear and are used, until SIGINT, SIGTERM or `--for`. */
export async function runWatch(args: WatchArguments, io: Io): Promise<number> {
  const intervalMs = parseDurationMs(args.interval, '--interval');
  if (intervalMs < MIN_INTERVAL_MS) {
    throw new UserError(
      ExitCode.usage,
      `--interval: ${JSON.stringify(args.interval)} is less than 500ms`,
    );
  }
  const forMs = args.for === undefined ? null : parseDurationMs(args.for, '--for');
  const ending = new AbortController();
  const end = (): void => ending.abort();
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
  try {
    const deadlineMs = forMs === null ? Number.POSITIVE_INFINITY : performance.now() + forMs;
    await withReader(args, io, (client) =>
      watch(client, args.format, intervalMs, deadlineMs, ending.signal, io),
    );
  } finally {
    process.off('SIGINT', end);
    process.off('SIGTERM', end);
  }
  return ExitCode.ok;
}

async function watch(
  client: ClientBase,
  format: LiveFormat,
  intervalMs: number,
  deadlineMs: number,
  signal: AbortSignal,
  io: Io,
): Promise<void> {
  const palette = paletteFor(io);
  const started = io.now();
  const range = { since: new Date(started.getTime() - COVERAGE_MS), until: started };
  const coverage = await loadCoverage(client, range, null);
  const view = new LiveView(started);
  await view.look(client, started);
  await write(io.stdout, renderLiveStart(range, coverage, format, palette));
  let tookMs = 0;
  while (!signal.aborted && !io.stdout.destroyed) {
    // At most half of the time is spent asking, however large the fleet is.
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0) break;
    await pause(Math.min(Math.max(intervalMs, tookMs), leftMs), signal);
    if (signal.aborted) break;
    const lookedMs = performance.now();
    const now = io.now();
    const graph = await view.look(client, now);
    tookMs = performance.now() - lookedMs;
    await write(io.stdout, renderLive(graph, format, now, palette));
  }
  const ended = io.now();
  if (io.stdout.destroyed || ended <= started) return;
  const watched = { since: started, until: ended };
  const rested = await loadCoverage(client, watched, null);
  await write(io.stdout, renderLiveEnd(watched, rested, coverage, format, palette));
}

/** Waits, but not beyond the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  // Node would fire at once after more than 2^31 - 1 ms.
  await sleep(Math.min(ms, 2 ** 31 - 1), undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
