/**
 * Holds what a tracer stored against what the programs themselves logged. Pure: takes the two lists
 * and gives the verdict.
 */
import { basename } from 'node:path';
import { OUTCOMES, type Outcome, type Side, type TruthConnection } from './truth-log.ts';

export type Counts = Readonly<Record<Outcome, number>>;

/** One stored half of an edge, its history added up. */
export interface StoredFlow {
  readonly side: Side;
  /** Name of the process, null where it is not known which. */
  readonly process: string | null;
  /** Its executable; null where the source does not tell, then names are compared. */
  readonly exe: string | null;
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly passivePort: number;
  /** Network namespace that confines the edge, null where none does. */
  readonly netns: number | null;
  readonly counts: Counts;
  readonly open: number;
  readonly foundBy: readonly string[];
}

/** Something that was counted otherwise than it happened. */
export interface Mismatch {
  /** `active /path/of/client 10.0.0.1 -> 10.0.0.2:80 opened` */
  readonly what: string;
  readonly happened: number;
  readonly stored: number;
}

export interface Share {
  readonly of: number;
  readonly found: number;
}

export interface Verdict {
  /** (process, peer endpoint) edges with a connection that happened, and those of them stored. */
  readonly edges: Share;
  /** The same without asking which process. */
  readonly endpoints: Share;
  /** Stored edges with a process, and those of them that happened. */
  readonly precision: Share;
  /** Connections and failures that happened, all told. */
  readonly happened: number;
  /** Stored with the wrong process, with no process. */
  readonly wrongProcess: number;
  readonly unattributed: number;
  /** Counts of single processes that differ. */
  readonly mismatches: readonly Mismatch[];
  /** Counts that differ whoever is asked for: something is missing or invented. */
  readonly wrongTotals: readonly Mismatch[];
  readonly missing: number;
  readonly invented: number;
  /** Missing less what the tracer itself says it lost. */
  readonly unaccounted: number;
  /** Edges by how they were found. */
  readonly foundBy: Readonly<Record<string, number>>;
}

/** Counts by process, '' for not known. */
type ByProcess = Map<string, Record<Outcome, number>>;

interface Endpoint {
  readonly truth: ByProcess;
  readonly stored: ByProcess;
  readonly foundBy: Set<string>;
}

const NOBODY = '';

/**
 * @param lost what the tracer says it lost
 */
export function judge(
  truth: readonly TruthConnection[],
  stored: readonly StoredFlow[],
  lost = 0,
): Verdict {
  const byName = stored.every((flow) => flow.exe === null);
  const endpoints = new Map<string, Endpoint>();
  const endpoint = (key: string): Endpoint => {
    const known = endpoints.get(key) ?? { truth: new Map(), stored: new Map(), foundBy: new Set() };
    endpoints.set(key, known);
    return known;
  };
  for (const connection of truth) {
    const process = byName ? basename(connection.exe) : connection.exe;
    countOf(endpoint(truthKey(connection)).truth, process)[connection.outcome] += 1;
  }
  for (const flow of stored) {
    const at = endpoint(storedKey(flow));
    const counts = countOf(at.stored, (byName ? flow.process : flow.exe) ?? NOBODY);
    for (const outcome of OUTCOMES) counts[outcome] += flow.counts[outcome];
    for (const means of flow.foundBy) at.foundBy.add(means);
  }
  return sum(endpoints, truth.length, lost);
}

function sum(endpoints: ReadonlyMap<string, Endpoint>, happened: number, lost: number): Verdict {
  const tally = new Tally();
  for (const [key, endpoint] of endpoints) tally.add(key, endpoint);
  return { ...tally.result(), happened, unaccounted: Math.max(0, tally.missing - lost) };
}

class Tally {
  missing = 0;
  #invented = 0;
  #wrongProcess = 0;
  #unattributed = 0;
  readonly #edges = { of: 0, found: 0 };
  readonly #endpoints = { of: 0, found: 0 };
  readonly #precision = { of: 0, found: 0 };
  readonly #mismatches: Mismatch[] = [];
  readonly #wrongTotals: Mismatch[] = [];
  readonly #foundBy: Record<string, number> = {};

  add(key: string, { truth, stored, foundBy }: Endpoint): void {
    const opened = (counts: Counts | undefined) => (counts?.opened ?? 0) > 0;
    for (const [process, counts] of truth) {
      if (!opened(counts)) continue;
      this.#edges.of += 1;
      if (opened(stored.get(process))) this.#edges.found += 1;
    }
    if ([...truth.values()].some(opened)) {
      this.#endpoints.of += 1;
      if ([...stored.values()].some(opened)) this.#endpoints.found += 1;
    }
    for (const process of new Set([...truth.keys(), ...stored.keys()])) {
      this.#compareProcess(key, process, truth, stored);
    }
    for (const outcome of OUTCOMES) this.#compareTotal(key, outcome, truth, stored);
    for (const means of foundBy) this.#foundBy[means] = (this.#foundBy[means] ?? 0) + 1;
  }

  result(): Omit<Verdict, 'happened' | 'unaccounted'> {
    return {
      edges: this.#edges,
      endpoints: this.#endpoints,
      precision: this.#precision,
      wrongProcess: this.#wrongProcess,
      unattributed: this.#unattributed,
      mismatches: this.#mismatches,
      wrongTotals: this.#wrongTotals,
      missing: this.missing,
      invented: this.#invented,
      foundBy: this.#foundBy,
    };
  }

  #compareProcess(key: string, process: string, truth: ByProcess, stored: ByProcess): void {
    const [happened, told] = [truth.get(process), stored.get(process)];
    const anything = told !== undefined && OUTCOMES.some((outcome) => told[outcome] > 0);
    // A flow that was announced but never counted is nothing that anybody asks for.
    if (process !== NOBODY && anything) {
      this.#precision.of += 1;
      if (happened !== undefined) this.#precision.found += 1;
    }
    for (const outcome of OUTCOMES) {
      const [were, are] = [happened?.[outcome] ?? 0, told?.[outcome] ?? 0];
      if (were === are) continue;
      this.#mismatches.push({
        what: `${key} by ${process || '?'}: ${outcome}`,
        happened: were,
        stored: are,
      });
      if (process === NOBODY) this.#unattributed += are;
    }
    // A failure of another kind is still this process's.
    if (process !== NOBODY) this.#wrongProcess += Math.max(0, all(told) - all(happened));
  }

  #compareTotal(key: string, outcome: Outcome, truth: ByProcess, stored: ByProcess): void {
    const total = (counts: ByProcess) =>
      [...counts.values()].reduce((sum, each) => sum + each[outcome], 0);
    const [happened, told] = [total(truth), total(stored)];
    if (happened === told) return;
    this.#wrongTotals.push({ what: `${key}: ${outcome}`, happened, stored: told });
    this.missing += Math.max(0, happened - told);
    this.#invented += Math.max(0, told - happened);
  }
}

function all(counts: Counts | undefined): number {
  return OUTCOMES.reduce((sum, outcome) => sum + (counts?.[outcome] ?? 0), 0);
}

function countOf(counts: ByProcess, process: string): Record<Outcome, number> {
  const known = counts.get(process) ?? {
    opened: 0,
    refused: 0,
    timedOut: 0,
    unreachable: 0,
    other: 0,
  };
  counts.set(process, known);
  return known;
}

function truthKey({ side, local, peer, localPort, peerPort }: TruthConnection): string {
  return side === 'active'
    ? `active ${local} -> ${peer}:${peerPort}`
    : `passive ${peer} -> ${local}:${localPort}`;
}

function storedKey({ side, activeAddress, passiveAddress, passivePort }: StoredFlow): string {
  return `${side} ${activeAddress} -> ${passiveAddress}:${passivePort}`;
}

/** Everything is there, with the right process, and nothing else. */
export function isExact(verdict: Verdict): boolean {
  return verdict.mismatches.length === 0 && verdict.wrongTotals.length === 0;
}

/** Everything is there and nothing else, no process is wrong; of some it is not known which. */
export function isExactButForNames({ wrongTotals, wrongProcess }: Verdict): boolean {
  return wrongTotals.length === 0 && wrongProcess === 0;
}

/**
 * The stored flows that these connections may have left, rightly or wrongly: between their addresses,
 * at either's port, in their namespaces. Other tests of this machine may run at the same time.
 */
export function flowsAmong(
  truth: readonly TruthConnection[],
  stored: readonly StoredFlow[],
): StoredFlow[] {
  const addresses = new Set(truth.flatMap(({ local, peer }) => [local, peer]));
  const ports = new Set(truth.flatMap(({ localPort, peerPort }) => [localPort, peerPort]));
  const namespaces = new Set(truth.map(({ netns }) => netns));
  return stored.filter(
    ({ activeAddress, passiveAddress, passivePort, netns }) =>
      ports.has(passivePort) &&
      addresses.has(activeAddress) &&
      addresses.has(passiveAddress) &&
      (netns === null || namespaces.has(netns)),
  );
}
