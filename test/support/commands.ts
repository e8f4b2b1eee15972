import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { eventually } from './processes.ts';
import { ENDS_WITH_US, type Outcome, REPOSITORY, type RunOptions, run } from './run.ts';

const TTRACERD = join(REPOSITORY, 'bin', 'ttracerd');
const TTCTL = join(REPOSITORY, 'bin', 'ttctl');

/** Runs `ttctl` as a user would. */
export function ttctl(argv: readonly string[], options?: RunOptions): Promise<Outcome> {
  return run(process.execPath, [TTCTL, ...argv], options);
}

/** Runs a `ttracerd` that ends by itself. */
export function ttracerd(argv: readonly string[], options?: RunOptions): Promise<Outcome> {
  return run(process.execPath, [TTRACERD, ...argv], options);
}

/** Runs a `ttctl` that must succeed with `--format json`. */
export async function ttctlJson<T>(argv: readonly string[], options?: RunOptions): Promise<T> {
  const { code, stdout, stderr } = await ttctl([...argv, '--format', 'json'], options);
  if (code !== 0) throw new Error(`ttctl ${argv.join(' ')}: exit ${code}\n${stderr}`);
  return JSON.parse(stdout) as T;
}

/** The JSON contract of `deps` and `flows`, as far as the tests read it. */
export interface GraphJson {
  readonly nodes: readonly NodeJson[];
  readonly edges: readonly EdgeJson[];
}

export interface NodeJson {
  readonly id: string;
  readonly host: string | null;
  readonly process: string | null;
  readonly exe: string | null;
  readonly uid: number | null;
  readonly addresses: readonly string[];
  readonly ports: readonly number[];
}

export interface EdgeJson {
  readonly active: string;
  readonly passive: string;
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly passivePort: number;
  readonly connections: number;
  readonly failed: number;
  readonly open: number;
  readonly bytesToPassive: number;
  readonly bytesToActive: number;
  readonly seenBy: string;
  readonly foundBy: readonly string[];
}

export interface CoverageJson {
  readonly coverage: readonly {
    readonly hostId: string;
    readonly from: string;
    readonly to: string;
    readonly mode: string;
    readonly attach: string | null;
    readonly lost: number;
    readonly missedProbes: number;
    readonly gap: boolean;
    readonly note: string;
  }[];
}

/** An edge with the names of its ends. */
export interface NamedEdge extends EdgeJson {
  readonly activeProcess: string | null;
  readonly passiveProcess: string | null;
}

/** The edges to one port, each with the processes at its ends. */
export function edgesTo({ nodes, edges }: GraphJson, port: number): NamedEdge[] {
  const names = new Map(nodes.map((node) => [node.id, node.process]));
  return edges
    .filter((edge) => edge.passivePort === port)
    .map((edge) => ({
      ...edge,
      activeProcess: names.get(edge.active) ?? null,
      passiveProcess: names.get(edge.passive) ?? null,
    }));
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg?: string };

export interface TtracerdOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Command that runs the agent: `['ip', 'netns', 'exec', NAME]`. */
  readonly wrapper?: readonly string[];
  /** Leave programs in the kernel for the next start; then `uninstall` is for the test to do. */
  readonly pin?: boolean;
}

/** A running `ttracerd`, as a user would start it. */
export class Ttracerd {
  readonly child: ChildProcess;
  /** When it was started, milliseconds since 1970. */
  readonly startedAtMs = Date.now();
  readonly #startedMs = performance.now();
  readonly #ended: Promise<Outcome>;
  #stdout = '';
  #stderr = '';

  constructor(
    argv: readonly string[],
    { env = {}, wrapper = [], pin = false }: TtracerdOptions = {},
  ) {
    const agent = [...ENDS_WITH_US, process.execPath, TTRACERD, ...argv];
    const [command = '', ...rest] = [...wrapper, ...agent];
    const child = spawn(command, rest, {
      env: { PATH: process.env['PATH'] ?? '', TTRACER_PIN: String(pin), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.#ended = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        const ms = performance.now() - this.#startedMs;
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr, ms });
      });
    });
    this.#ended.catch(() => undefined); // told to whoever waits for it
  }

  get pid(): number {
    const { pid } = this.child;
    if (pid === undefined) throw new Error('ttracerd could not be started');
    return pid;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** What it logged; the last line may be incomplete and is then left out. */
  get log(): LogLine[] {
    return this.#stderr.split('\n').flatMap((line) => {
      try {
        return [JSON.parse(line) as LogLine];
      } catch {
        return []; // an error for people, or half a line
      }
    });
  }

  /** pid of the helper that attached last. */
  get helperPid(): number {
    const attached = this.log.findLast((line) => line.msg === 'attached');
    if (typeof attached?.['helperPid'] !== 'number') throw new Error('no helper has attached');
    return attached['helperPid'];
  }

  /** Waits until `count` lines with this message are logged and gives the last of them. */
  async logged(msg: string, timeoutMs = 20_000, count = 1): Promise<LogLine> {
    return eventually(
      () => {
        const lines = this.log.filter((line) => line.msg === msg);
        if (lines.length >= count) return lines[count - 1];
        if (!this.isRunning) throw new Error(`ttracerd ended before '${msg}':\n${this.#stderr}`);
        return undefined;
      },
      { timeoutMs, what: `'${msg}' in the log\n${this.#stderr}` },
    );
  }

  /** Attached, and its CMDB reached. */
  ready(): Promise<LogLine> {
    return this.logged('ready');
  }

  /** Resolves when it has ended by itself. */
  ended(): Promise<Outcome> {
    return this.#ended;
  }

  /** Ends it with a signal; `ms` is the time that took. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Outcome> {
    const startedMs = performance.now();
    this.child.kill(signal);
    const outcome = await this.#ended;
    return { ...outcome, ms: performance.now() - startedMs };
  }

  /** For clean-up: ends it however it is. */
  async kill(): Promise<void> {
    if (this.isRunning) await this.stop('SIGKILL');
  }
}
