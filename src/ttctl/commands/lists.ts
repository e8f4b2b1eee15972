import { ExitCode } from '../../common/exit-codes.ts';
import { formatEndpoint } from '../../query/address.ts';
import { loadCoverage } from '../../query/coverage.ts';
import { queryFlows } from '../../query/deps.ts';
import { queryHosts, queryListeners } from '../../query/inventory.ts';
import { parseRange } from '../../query/range.ts';
import { coverageOf } from '../../render/coverage-text.ts';
import { type ListAnswer, renderList } from '../../render/list.ts';
import { formatSpan } from '../../render/spans.ts';
import { type Io, paletteFor, write } from '../io.ts';
import {
  type CmdbArguments,
  cmdbOptions,
  type ListFormat,
  listFormatOption,
  type RangeArguments,
  rangeOptions,
} from '../options.ts';
import { withReader } from '../session.ts';
import type { Argv } from '../yargs-types.ts';

export interface ListArguments extends CmdbArguments, RangeArguments {
  readonly format: ListFormat;
}

export interface ListenersArguments extends ListArguments {
  readonly unused: boolean;
}

export function listOptions(yargs: Argv): Argv<ListArguments> {
  return listFormatOption(rangeOptions(cmdbOptions(yargs)));
}

export function listenersOptions(yargs: Argv): Argv<ListenersArguments> {
  return listOptions(yargs).option('unused', {
    type: 'boolean',
    default: false,
    describe: 'only those that nobody connected to in the range',
  });
}

/** `ttctl hosts`: hosts whose agent reported in the range, and how well each was watched. */
export async function runHosts(args: ListArguments, io: Io): Promise<number> {
  const now = io.now();
  const range = parseRange(args.since, args.until, now);
  const { hosts, coverage } = await withReader(args, io, async (client) => ({
    hosts: await queryHosts(client, range),
    coverage: await loadCoverage(client, range, null),
  }));
  const watched = { ...range, coverage };
  return answer(args.format, io, {
    name: 'hosts',
    range,
    items: hosts,
    coverage,
    empty: 'no host reported in this range',
    columns: [
      ['host', (host) => host.host],
      ['addresses', (host) => host.addresses.join(' ')],
      ['kernel', (host) => host.kernelRelease],
      ['agent', (host) => host.agentVersion],
      ['last report', (host) => ago(now, host.lastSeen)],
      ['coverage', (host) => coverageOf(host.hostId, watched)],
    ],
  });
}

/** `ttctl listeners`: who listens where, and whether anybody connects. */
export async function runListeners(args: ListenersArguments, io: Io): Promise<number> {
  const now = io.now();
  const range = parseRange(args.since, args.until, now);
  const { listeners, coverage } = await withReader(args, io, async (client) => {
    const flows = await queryFlows(client, range);
    return {
      listeners: await queryListeners(client, range, flows),
      coverage: await loadCoverage(client, range, null),
    };
  });
  const shown = args.unused ? listeners.filter((entry) => entry.connections === 0n) : listeners;
  return answer(args.format, io, {
    name: 'listeners',
    range,
    items: shown,
    coverage,
    // An empty list says of every host that nothing is there.
    hosts: shown.length > 0 ? shown : coverage,
    empty: args.unused ? 'no listener went unused in this range' : 'no listener in this range',
    columns: [
      ['host', (entry) => entry.host],
      ['endpoint', (entry) => formatEndpoint(entry.address, entry.port)],
      ['process', (entry) => entry.process ?? '?'],
      ['unit', (entry) => entry.unit ?? entry.container ?? ''],
      ['connections', (entry) => String(entry.connections)],
      ['open', (entry) => String(entry.open)],
      ['last seen', (entry) => ago(now, entry.lastSeen)],
      ['coverage', (entry) => coverageOf(entry.hostId, { ...range, coverage })],
    ],
  });
}

/** `ttctl coverage`: what was watched, how, and what is known to be missed. */
export async function runCoverage(args: ListArguments, io: Io): Promise<number> {
  const range = parseRange(args.since, args.until, io.now());
  const coverage = await withReader(args, io, (client) => loadCoverage(client, range, null));
  return answer(args.format, io, {
    name: 'coverage',
    range,
    items: coverage,
    empty: 'no host was watched in this range',
    columns: [
      ['host', (interval) => interval.host],
      ['from', (interval) => interval.from.toISOString()],
      ['to', (interval) => interval.to.toISOString()],
      ['mode', (interval) => (interval.gap ? 'GAP' : interval.mode)],
      ['attach', (interval) => interval.attach ?? ''],
      ['lost', (interval) => String(interval.lost)],
      ['missed probes', (interval) => String(interval.missedProbes)],
      ['note', (interval) => interval.note],
    ],
  });
}

async function answer<T extends object>(
  format: ListFormat,
  io: Io,
  list: ListAnswer<T>,
): Promise<number> {
  const form = format === 'tree' ? 'table' : format;
  await write(io.stdout, renderList(list, form, paletteFor(io)));
  return ExitCode.ok;
}

function ago(now: Date, then: Date): string {
  return `${formatSpan(Math.max(0, now.getTime() - then.getTime()))} ago`;
}
