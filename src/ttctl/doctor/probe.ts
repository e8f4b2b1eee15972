import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { isNoProgram } from '../../bpf-ts-loader/index.ts';
import { packageRoot } from '../../cmdb/package-root.ts';

/** One thing the helper tried, as it reports it: a JSON object a line. */
export type ProbeResult = RungProbe | CapabilityProbe | FeatureProbe;

/** A rung of the attach ladder, or polling. */
export interface RungProbe {
  readonly probe: 'rung';
  readonly rung: string;
  readonly ok: boolean;
  readonly errno: string | null;
  readonly detail: string;
}

export interface CapabilityProbe {
  readonly probe: 'capability';
  readonly name: string;
  readonly ok: boolean;
}

export interface FeatureProbe {
  readonly probe: 'feature';
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** What came of asking the helper: what it found, or why it could not be asked. */
export interface HelperReport {
  readonly path: string;
  readonly probes: readonly ProbeResult[];
  readonly problem: string | null;
}

const PROBE_TIMEOUT_MS = 30_000;
const MAX_OUTPUT_BYTES = 1 << 20;

/** The helper binary: `TTRACER_HELPER`, else the one built or installed with this package. */
export function helperPath(env: Readonly<Record<string, string | undefined>>): string {
  return env['TTRACER_HELPER'] || join(packageRoot(import.meta.url), 'build', 'ttracer-helper');
}

/** Runs `HELPER --probe`. Nothing it does can fail this: a problem is part of the report. */
export async function probeHelper(path: string): Promise<HelperReport> {
  try {
    await access(path, constants.X_OK);
  } catch {
    const problem = `no helper at ${path}: build it with make build, or set TTRACER_HELPER`;
    return { path, probes: [], problem };
  }
  if (await isNoProgram(path)) {
    const problem = `${path} is no program for this machine: build it with make build`;
    return { path, probes: [], problem };
  }
  const { stdout, failure } = await run(path);
  const probes = stdout.split('\n').flatMap(parseProbe);
  const rungs = probes.filter((probe) => probe.probe === 'rung');
  const problem =
    rungs.length > 0 ? null : `the helper reported nothing (${failure ?? 'no output'})`;
  return { path, probes, problem };
}

function run(path: string): Promise<{ stdout: string; failure: string | null }> {
  const options = {
    timeout: PROBE_TIMEOUT_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
    encoding: 'utf8',
  } as const;
  return new Promise((resolve) => {
    execFile(path, ['--probe'], options, (error, stdout, stderr) => {
      const last = stderr.trim().split('\n').at(-1);
      resolve({ stdout, failure: error === null ? null : last || error.message });
    });
  });
}

/** Reads a line of the helper; a line of another form is left out, the helper may know more. */
export function parseProbe(line: string): ProbeResult[] {
  const value = parseObject(line);
  if (value === null || typeof value['ok'] !== 'boolean') return [];
  const { ok } = value;
  const text = (key: string): string => (typeof value[key] === 'string' ? value[key] : '');
  switch (value['probe']) {
    case 'rung':
      return [
        {
          probe: 'rung',
          rung: text('rung'),
          ok,
          errno: text('errno') || null,
          detail: text('detail'),
        },
      ];
    case 'capability':
      return [{ probe: 'capability', name: text('name'), ok }];
    case 'feature':
      return [{ probe: 'feature', name: text('name'), ok, detail: text('detail') }];
    default:
      return [];
  }
}

function parseObject(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

/** What `--mode auto` would do here, and why; the first rung that works wins. */
export interface ModeChoice {
  readonly mode: 'stream' | 'poll' | null;
  readonly attach: string | null;
  readonly reason: string;
}

const LADDER = ['fentry', 'kprobe', 'tracepoint'];

export function chooseMode(report: HelperReport): ModeChoice {
  const rungs = report.probes.filter((probe) => probe.probe === 'rung');
  const works = (rung: string): boolean => rungs.some((probe) => probe.rung === rung && probe.ok);
  const refused = LADDER.flatMap((rung) => {
    const probe = rungs.find((other) => other.rung === rung && !other.ok);
    return probe === undefined ? [] : [`${rung} refused (${whyRefused(probe)})`];
  });
  const attach = LADDER.find(works);
  if (attach !== undefined) {
    const before = refused.filter((_, index) => index < LADDER.indexOf(attach));
    return { mode: 'stream', attach, reason: [...before, `${attach} works`].join('; ') };
  }
  if (works('poll')) {
    return { mode: 'poll', attach: null, reason: [...refused, 'polling works'].join('; ') };
  }
  const why = report.problem ?? [...refused, 'polling does not work either'].join('; ');
  return { mode: null, attach: null, reason: why };
}

/** The system's error and what the helper says about it, as far as they are there. */
export function whyRefused(probe: RungProbe): string {
  const { errno, detail } = probe;
  const parts = errno !== null && detail.startsWith(errno) ? [detail] : [errno, detail];
  return parts.filter((part) => part).join(': ') || 'no reason given';
}
