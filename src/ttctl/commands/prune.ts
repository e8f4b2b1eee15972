import { type Pruned, pruneCmdb } from '../../cmdb/prune.ts';
import { maintainCmdb } from '../../cmdb/reader.ts';
import { removeHost } from '../../cmdb/remove-host.ts';
import { parseDurationMs } from '../../common/duration.ts';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { moment } from '../../render/coverage-footer.ts';
import { printable } from '../../render/printable.ts';
import { counted } from '../../render/spans.ts';
import { type Io, write } from '../io.ts';
import { type CmdbArguments, cmdbOptions } from '../options.ts';
import { CONNECT_TIMEOUT_MS, locateCmdb } from '../session.ts';
import type { Argv } from '../yargs-types.ts';

export interface PruneArguments extends CmdbArguments {
  readonly olderThan: string | undefined;
  readonly host: string | undefined;
  readonly force: boolean;
}

/** History is kept by day; anything shorter is a typing error that would cost nearly all of it. */
const MIN_AGE_MS = 86_400_000;

export function pruneOptions(yargs: Argv): Argv<PruneArguments> {
  return cmdbOptions(
    yargs
      .option('older-than', {
        type: 'string',
        requiresArg: true,
        describe: 'remove what was last seen longer ago than this, at least 1d: 30d, 12w',
      })
      .option('host', {
        type: 'string',
        requiresArg: true,
        describe: 'remove this host, by name or id, and all that it wrote',
      })
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'with --host: also one that reported in the last ten minutes',
      }),
  ) as unknown as Argv<PruneArguments>;
}

/** `ttctl prune`: removes old history and what was last seen before it, or a host. */
export async function runPrune(args: PruneArguments, io: Io): Promise<number> {
  if (args.host !== undefined) return await runRemoveHost(args, args.host, io);
  if (args.force) throw new UserError(ExitCode.usage, '--force goes with --host');
  const limit = parseLimit(args.olderThan, io.now());
  const pruned = await maintainCmdb(locateCmdb(args, io), (client) => pruneCmdb(client, limit), {
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  });
  await write(io.stdout, `removed ${prunedText(pruned)}, older than ${moment(limit)}\n`);
  return ExitCode.ok;
}

async function runRemoveHost(args: PruneArguments, host: string, io: Io): Promise<number> {
  const { olderThan, force } = args;
  if (olderThan !== undefined) {
    throw new UserError(ExitCode.usage, '--host removes all of a host: leave --older-than out');
  }
  const removed = await maintainCmdb(
    locateCmdb(args, io),
    (client) => removeHost(client, host, { now: io.now(), force }),
    { connectTimeoutMs: CONNECT_TIMEOUT_MS },
  );
  const what = `host ${printable(removed.name)} (${removed.hostId})`;
  await write(io.stdout, `removed ${what}: ${counted(removed.rows, 'row')}\n`);
  return ExitCode.ok;
}

/** @throws UserError (usage) for what is no duration, or less than a day */
function parseLimit(text: string | undefined, now: Date): Date {
  if (text === undefined) {
    throw new UserError(
      ExitCode.usage,
      'prune needs --older-than DURATION, like 30d, or --host HOST',
    );
  }
  const ageMs = parseDurationMs(text, '--older-than');
  if (ageMs >= MIN_AGE_MS) return new Date(now.getTime() - ageMs);
  throw new UserError(
    ExitCode.usage,
    `--older-than: ${JSON.stringify(text)} is less than a day, by which history is kept`,
  );
}

function prunedText(pruned: Pruned): string {
  const entries = (count: number, one: string, many: string): string =>
    `${count} ${count === 1 ? one : many}`;
  return [
    `${counted(pruned.days, 'day')} of history`,
    counted(pruned.flows, 'flow'),
    counted(pruned.passiveNodes, 'listener'),
    entries(pruned.processes, 'process', 'processes'),
    counted(pruned.containers, 'container'),
    entries(pruned.addresses, 'address', 'addresses'),
    counted(pruned.coverage, 'coverage interval'),
    counted(pruned.hosts, 'host'),
  ].join(', ');
}
