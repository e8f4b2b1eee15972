import { type NamedHost, unwatchedSpans } from '../query/coverage.ts';
import { groupBy } from '../query/group-by.ts';
import { coverageOf, type Watched } from './coverage-text.ts';
import { printable } from './printable.ts';
import { counted } from './spans.ts';

const MAX_HOSTS = 10;
const MAX_SPANS = 3;
/** Shorter holes are in the sum, but not told one by one. */
const MIN_SPAN_MS = 1_000;

/**
 * What an answer about these hosts rests on, in a few lines: how many hosts were watched throughout,
 * and when the others were not.
 */
export function coverageFooter(watched: Watched, hosts: readonly NamedHost[]): string[] {
  const names = new Map(hosts.flatMap(({ hostId, host }) => (hostId ? [[hostId, host]] : [])));
  if (names.size === 0) return ['no host with an agent is in this answer'];
  const intervals = groupBy(watched.coverage, ({ hostId }) => hostId);
  const holes = [...names].flatMap(([hostId, host]) => {
    const own = intervals.get(hostId) ?? [];
    const spans = unwatchedSpans(own, watched);
    const lossless = own.every(({ lost, missedProbes }) => lost + missedProbes === 0n);
    if (spans.length === 0 && lossless) return [];
    return [coverageLine({ hostId, host }, watched)];
  });
  const throughout = names.size - holes.length;
  const head =
    throughout === 0
      ? []
      : [`${throughout} of ${counted(names.size, 'host')} watched throughout the range`];
  const hidden = holes.length - MAX_HOSTS;
  const rest = hidden > 0 ? [`and ${counted(hidden, 'host')} more: see ttctl coverage`] : [];
  return [...head, ...holes.slice(0, MAX_HOSTS), ...rest];
}

/** How one host was watched, and when it was not. */
export function coverageLine({ hostId, host }: NamedHost, watched: Watched): string {
  const own = watched.coverage.filter((interval) => interval.hostId === hostId);
  const holes = holeText(unwatchedSpans(own, watched));
  return `${printable(host ?? hostId ?? '')}: ${coverageOf(hostId, watched)}${holes}`;
}

function holeText(spans: readonly { readonly from: Date; readonly to: Date }[]): string {
  const told = spans.filter(({ from, to }) => to.getTime() - from.getTime() >= MIN_SPAN_MS);
  if (told.length === 0) return '';
  const shown = told.slice(0, MAX_SPANS).map(({ from, to }) => `${moment(from)} to ${moment(to)}`);
  const more = told.length - shown.length;
  return `; not watched ${shown.join(', ')}${more > 0 ? ` and ${counted(more, 'time')} more` : ''}`;
}

/** `2025-06-01 03:10:00Z`: to the second, in UTC. */
export function moment(date: Date): string {
  return `${date.toISOString().slice(0, 19).replace('T', ' ')}Z`;
}
