/** What a guest tells its host, as JSON lines on the second serial port. */

/** Ways of watching, best first: the rungs of the attach ladder, then polling. */
export const RUNGS = ['fentry', 'kprobe', 'tracepoint', 'poll'] as const;
export type Rung = (typeof RUNGS)[number];

/** The kernel as it is, or with `bpf(2)` and `perf_event_open(2)` failing with this errno. */
export const CONDITIONS = ['bare', 'ENOSYS', 'EPERM'] as const;
export type Condition = (typeof CONDITIONS)[number];

/** One line of `ttracer-helper --probe`. */
export interface ProbeAnswer {
  readonly probe: 'rung' | 'feature' | 'capability';
  /** Which rung, where `probe` says so; other kinds carry other keys, shown but not judged. */
  readonly rung?: string;
  readonly ok: boolean;
  readonly errno?: string | number | null;
  readonly detail?: string;
}

export interface ProbeLine {
  readonly kind: 'probe';
  readonly condition: Condition;
  readonly answers: readonly ProbeAnswer[];
  /** How the helper ended: its exit code, a signal's name, or why it could not be started. */
  readonly end: string;
  readonly stderr: string;
  readonly elapsedMs: number;
}

export interface EndToEndLine {
  readonly kind: 'end-to-end';
  readonly rung: Rung;
  readonly passed: boolean;
  /** What was seen instead of what was expected, and the last lines of the agent's log. */
  readonly detail: string;
  readonly elapsedMs: number;
}

/** What became of counts when a helper was killed and another one started. */
export interface PinsLine {
  readonly kind: 'pins';
  readonly rung: Rung;
  readonly pinned: boolean;
  /** All connections were told, each once. */
  readonly passed: boolean;
  /** What was wrong, or why nothing was pinned. */
  readonly detail: string;
}

export interface ReleaseLine {
  readonly kind: 'release';
  readonly release: string;
}

/** How a case of test/truth went; `played` is a `Played` or `PlayedLoad` of there. */
export interface TruthLine {
  readonly kind: 'truth' | 'truth-load' | 'truth-failed';
  readonly rung: Rung;
  readonly played: unknown;
  readonly elapsedMs: number;
}

export type GuestLine = ReleaseLine | ProbeLine | PinsLine | EndToEndLine | TruthLine;
