import type { Palette } from '../../render/palette.ts';
import { printable } from '../../render/printable.ts';
import type { AgentState } from './agent-lock.ts';
import { type HelperReport, type ModeChoice, type ProbeResult, whyRefused } from './probe.ts';

/** Whether the CMDB can be used: `ok`, or what the reader's error said. */
export interface CmdbState {
  readonly ok: boolean;
  readonly location: string;
  readonly detail: string;
}

export interface DoctorReport {
  readonly helper: HelperReport;
  readonly auto: ModeChoice;
  readonly cmdb: CmdbState;
  readonly agent: AgentState & { readonly dataDir: string };
}

/** Wide enough for `auto: stream, tracepoint` and two spaces. */
const LABEL_WIDTH = 26;

/** The report for people: a section each, one finding a line. */
export function renderDoctor(report: DoctorReport, palette: Palette): string {
  const { helper, auto, cmdb, agent } = report;
  const line = (ok: boolean | null, label: string, detail: string): string => {
    const mark = ok === null ? '?     ' : ok ? 'ok    ' : palette.alarm('no    ');
    return `  ${mark}${label.padEnd(LABEL_WIDTH)}${printable(detail)}`.trimEnd();
  };
  const section = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : [palette.bold(title), ...lines];
  const probes = (kind: ProbeResult['probe']): string[] =>
    helper.probes
      .filter((probe) => probe.probe === kind)
      .map((probe) => line(probe.ok, printable(probeName(probe)), probeDetail(probe)));
  const mode = auto.mode === null ? 'nothing' : [auto.mode, auto.attach ?? []].flat().join(', ');
  const pid = agent.pid === null ? '' : ` (pid ${agent.pid})`;
  const running = { yes: true, no: false, unknown: null }[agent.running];
  return `${[
    ...section('Ways to watch', probes('rung')),
    ...section('Capabilities', probes('capability')),
    ...section('Kernel features', probes('feature')),
    ...section('Mode', [
      ...(helper.problem === null ? [] : [line(false, 'helper', helper.problem)]),
      line(auto.mode !== null, `auto: ${mode}`, auto.reason),
    ]),
    ...section('CMDB', [line(cmdb.ok, cmdb.ok ? 'usable' : 'not usable', cmdb.detail)]),
    ...section('Agent', [line(running, `running: ${agent.running}${pid}`, agent.detail)]),
  ].join('\n')}\n`;
}

function probeName(probe: ProbeResult): string {
  return probe.probe === 'rung' ? probe.rung : probe.name;
}

function probeDetail(probe: ProbeResult): string {
  switch (probe.probe) {
    case 'rung':
      return probe.ok ? probe.detail : whyRefused(probe);
    case 'feature':
      return probe.detail;
    case 'capability':
      return '';
  }
}
