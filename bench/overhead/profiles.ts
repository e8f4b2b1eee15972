/** CPU time of one function, symbol or BPF program. */
export interface Part {
  readonly what: string;
  readonly ms: number;
  readonly runs?: number;
}

/** Where the time of our tracer went under one workload; times in all, milliseconds. */
export interface Profile {
  readonly workload: string;
  readonly condition: string;
  /** How long was measured. */
  readonly seconds: number;
  /** Made meanwhile. */
  readonly connections: number;
  readonly agentMs: number;
  readonly helperMs: number;
  readonly cmdbMs: number;
  /** At the end, under the profilers. */
  readonly agentMemory?: { readonly rssMb: number; readonly anonymousMb: number };
  /** Of the agent's and the helper's: in system calls and interrupts. */
  readonly agentKernelMs: number;
  readonly helperKernelMs: number;
  /** Part of what others are billed for. */
  readonly bpfMs: number;
  readonly agent: readonly Part[];
  readonly helper: readonly Part[];
  readonly bpf: readonly Part[];
}

/** bench/overhead/profiles.json. */
export interface Profiles {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly profiles: readonly Profile[];
}

const SHOWN = 8;
/** Less than this is not worth a line. */
const LEAST_SHARE = 0.01;

/** The parts that take the most, rounded. */
export function topOf(parts: readonly Part[]): Part[] {
  const all = parts.reduce((sum, { ms }) => sum + ms, 0);
  return parts
    .filter(({ ms }) => ms > all * LEAST_SHARE)
    .toSorted((a, b) => b.ms - a.ms)
    .slice(0, SHOWN)
    .map((part) => ({ ...part, ms: Number(part.ms.toPrecision(3)) }));
}

const perSecond = (ms: number, seconds: number) => Number((ms / seconds).toPrecision(3));

/** One sentence: what takes the most, of the whole and of each part. */
export function inWords({ seconds, agentMs, helperMs, cmdbMs, bpfMs, ...parts }: Profile): string {
  const named = (list: readonly Part[]) =>
    list
      .slice(0, 3)
      .map(({ what, ms }) => `\`${what}\` ${perSecond(ms, seconds)}`)
      .join(', ');
  const texts = [
    `agent ${perSecond(agentMs, seconds)} (${named(parts.agent)})`,
    `helper ${perSecond(helperMs, seconds)} (${named(parts.helper)})`,
    `PostgreSQL ${perSecond(cmdbMs, seconds)}`,
    ...(bpfMs > 0 ? [`BPF ${perSecond(bpfMs, seconds)} (${named(parts.bpf)})`] : []),
  ];
  return `ms of CPU a second, under the profilers: ${texts.join('; ')}`;
}

/** What the agent's memory is, and what it is on an idle host. */
export function memoryInWords({ agentMemory }: Profile, idle: Profile | undefined): string {
  if (!agentMemory) return '';
  const of = ({ rssMb, anonymousMb }: NonNullable<Profile['agentMemory']>) =>
    `${rssMb} MB, of which files (Node.js itself) ${Math.round(rssMb - anonymousMb)} MB`;
  const compared = idle?.agentMemory ? `; on the idle host ${of(idle.agentMemory)}` : '';
  return `; memory of the agent ${of(agentMemory)}${compared}`;
}

/** A table a profile, as Markdown. */
export function profilesSection({ machine, profiles }: Profiles): string[] {
  if (profiles.length === 0) return [];
  return [
    '### Where the time goes',
    '',
    'Profiles by `make bench-profile`: agent and helper by function, with what the kernel does for them',
    '(`perf record -e cpu-clock`, `node --perf-basic-prof`), BPF by program (`kernel.bpf_stats_enabled`;',
    'its time is billed to whoever made the connection, and to the helper where an iterator runs for it).',
    'Intervals are the defaults, or the length of the profile where that is shorter. Milliseconds of CPU a',
    `second of load; the profilers add to them. ${String(machine['date'])}, ${String(machine['node'])}.`,
    '',
    ...profiles.flatMap((profile) => [...tableOf(profile), '']),
  ];
}

function tableOf(profile: Profile): string[] {
  const { seconds } = profile;
  const groups = [
    {
      ...{ title: 'agent', ms: profile.agentMs, kernelMs: profile.agentKernelMs },
      parts: profile.agent,
    },
    {
      ...{ title: 'helper', ms: profile.helperMs, kernelMs: profile.helperKernelMs },
      parts: profile.helper,
    },
    { title: 'PostgreSQL', ms: profile.cmdbMs, kernelMs: undefined, parts: [] },
    { title: 'BPF', ms: profile.bpfMs, kernelMs: undefined, parts: profile.bpf },
  ].filter(({ ms }) => ms > 0);
  const cell = ({ what, ms, runs }: Part) =>
    `\`${what}\` ${perSecond(ms, seconds)}${runs ? ` (${Math.round((ms * 1e6) / runs)} ns a run)` : ''}`;
  return [
    `**${profile.workload}, ${profile.condition}**, ${Math.round(seconds)} s:`,
    '',
    '| part | ms/s | in the kernel | most of it |',
    '| --- | --- | --- | --- |',
    ...groups.map(
      ({ title, ms, kernelMs, parts }) =>
        `| ${title} | ${perSecond(ms, seconds)} | ${kernelMs === undefined ? '' : perSecond(kernelMs, seconds)} | ${parts.map(cell).join(', ')} |`,
    ),
  ];
}
