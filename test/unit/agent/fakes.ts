import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import pino from 'pino';
import type { FlowCounts } from '../../../src/bpf-ts-loader/index.ts';
import type { Losses } from '../../../src/events/event.ts';
import type { NamedProcess } from '../../../src/process/identity.ts';
import { processRecord } from '../../support/batches.ts';

/** Losses since the helper's start, none unless given. */
export function losses(changes: Partial<Losses> = {}): Losses {
  return {
    ringLost: 0n,
    flowsFull: 0n,
    socketsFull: 0n,
    missedProbes: 0n,
    noticesLost: 0n,
    vanished: 0n,
    namespacesFailed: 0n,
    ...changes,
  };
}

/** What happened in a flow since its previous report: nothing unless given. */
export function counts(changes: Partial<FlowCounts> = {}): FlowCounts {
  return {
    firstNs: 0n,
    lastNs: 0n,
    bytesSent: 0n,
    bytesReceived: 0n,
    opened: 0,
    found: 0,
    closed: 0,
    refused: 0,
    timedOut: 0,
    unreachable: 0,
    failedOther: 0,
    retransmits: 0,
    ...changes,
  };
}

export function named(
  processId: string,
  pid = 100,
  containerId: string | null = null,
): NamedProcess {
  const record = processRecord({ processId, pid, pgid: pid, name: `p${processId}`, containerId });
  const container = containerId === null ? null : { containerId, runtime: 'docker' };
  return { record, container, ppid: 1, startTimeNs: 1n };
}

/** A log whose lines can be looked at. */
export function recordingLog(): { log: pino.Logger; lines: { msg: string; level: number }[] } {
  const lines: { msg: string; level: number }[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => lines.push(JSON.parse(line)) });
  return { log, lines };
}

/** A directory for one test file. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ttracer-unit-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
