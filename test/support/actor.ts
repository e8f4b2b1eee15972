import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { REPOSITORY } from './run.ts';

/** The program behind {@link Actor}; its commands are described in tcp-actor.c. */
export const ACTOR_PROGRAM = join(REPOSITORY, 'build', 'tcp-actor');

export interface ActorOptions {
  /** Command that runs it: `['chroot', DIRECTORY]`. */
  readonly wrapper?: readonly string[];
  /** Another copy of the program, or where it is found within a chroot. */
  readonly program?: string;
  /** File that it logs its connections to. */
  readonly truthLog?: string;
}

/** A process of its own whose sockets are opened, used and closed by a test's command. */
export class Actor {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #waiting: ((line: string | null) => void)[] = [];
  #stderr = '';

  constructor({ wrapper = [], program = ACTOR_PROGRAM, truthLog }: ActorOptions = {}) {
    const [command = '', ...argv] = [...wrapper, program];
    const env = truthLog === undefined ? process.env : { ...process.env, TRUTH_LOG: truthLog };
    const child = spawn(command, argv, { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.#child = child;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    child.stdin.on('error', () => undefined); // it ended: the answer that is missing tells
    createInterface(child.stdout).on('line', (line) => this.#waiting.shift()?.(line));
    this.#ended = new Promise((resolve) => {
      child.on('error', () => resolve());
      child.on('close', () => resolve());
    });
    void this.#ended.then(() => {
      for (const waiter of this.#waiting) waiter(null);
    });
  }

  /** Wrappers execute the program in their own place, so this is the actor's. */
  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error('the actor could not be started');
    return pid;
  }

  /** Has a command carried out; gives the numbers of the answer. */
  async do(command: string): Promise<number[]> {
    const line = await this.#ask(command);
    const [word, ...rest] = line.split(' ');
    if (word !== 'ok') throw new Error(`actor: '${command}' gave '${line}'`);
    return rest.map(Number);
  }

  /** The same for commands that answer with one number. */
  async one(command: string): Promise<number> {
    const [first] = await this.do(command);
    if (first === undefined) throw new Error(`actor: '${command}' gave no number`);
    return first;
  }

  /** Has a command carried out that must fail; gives the errno's name. */
  async fail(command: string): Promise<string> {
    const line = await this.#ask(command);
    const [word, errno = ''] = line.split(' ');
    if (word !== 'error') throw new Error(`actor: '${command}' gave '${line}'`);
    return errno;
  }

  async listen(address: string, backlog = 512): Promise<{ fd: number; port: number }> {
    const [fd = -1, port = 0] = await this.do(`listen ${address} ${backlog}`);
    return { fd, port };
  }

  /** Ends it as `kill -9` does; its sockets are closed by the kernel. */
  async end(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #ask(command: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push((line) => {
        if (line !== null) resolve(line);
        else reject(new Error(`actor: ended before it answered '${command}': ${this.#stderr}`));
      });
      this.#child.stdin?.write(`${command}\n`);
    });
  }
}

/** Runs `use` with actors that are ended afterwards, whatever happens. */
export async function withActors<T>(
  count: number,
  use: (...actors: Actor[]) => Promise<T>,
): Promise<T> {
  const actors = Array.from({ length: count }, () => new Actor());
  try {
    return await use(...actors);
  } finally {
    await Promise.all(actors.map((actor) => actor.end()));
  }
}
