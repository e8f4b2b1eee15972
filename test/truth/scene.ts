import { linkSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ACTOR_PROGRAM, Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { Namespace } from '../support/namespace.ts';
import { runOk } from '../support/run.ts';
import { parseTruthLog, type TruthConnection } from './truth-log.ts';

export const LOOPBACK = '127.0.0.1';

/** Addresses of the link between the two namespaces that all cases share. */
export const HOME = { ipv4: '10.232.78.1', ipv6: 'fd78:232::1' } as const;
export const AWAY = { ipv4: '10.232.78.2', ipv6: 'fd78:232::2' } as const;

/** Network namespaces of all cases, so that no other traffic of this machine is in them. */
export class Places {
  readonly home: Namespace;
  /** At the other end of a veth from home. */
  readonly away: Namespace;
  /** Where connects fail: SYNs are retried once, and there are silent and absent neighbours. */
  readonly failing: Namespace;

  private constructor(home: Namespace, away: Namespace, failing: Namespace) {
    this.home = home;
    this.away = away;
    this.failing = failing;
  }

  static async create(cleanup: Cleanup): Promise<Places> {
    const [home, away, failing] = [
      await Namespace.create(),
      await Namespace.create(),
      await Namespace.create(),
    ];
    for (const namespace of [home, away, failing]) cleanup.keep(namespace, (it) => it.delete());
    await home.ip(
      'link',
      'add',
      'away',
      'type',
      'veth',
      'peer',
      'name',
      'home',
      'netns',
      away.name,
    );
    for (const [namespace, link, address] of [
      [home, 'away', HOME],
      [away, 'home', AWAY],
    ] as const) {
      await namespace.ip('addr', 'add', `${address.ipv4}/24`, 'dev', link);
      await namespace.ip('addr', 'add', `${address.ipv6}/64`, 'dev', link, 'nodad');
      await namespace.ip('link', 'set', link, 'up');
    }
    await failing.addSilentPeer();
    await inside(home, 'echo 3 >/proc/sys/net/ipv4/tcp_fastopen');
    await inside(
      failing,
      `cd /proc/sys/net/ipv4; echo 1 >tcp_syn_retries
       echo 100 >neigh/near/retrans_time_ms; echo 1 >neigh/near/mcast_solicit`,
    );
    return new Places(home, away, failing);
  }
}

async function inside({ wrapper }: Namespace, script: string): Promise<void> {
  const [command = '', ...argv] = wrapper;
  await runOk(command, [...argv, 'sh', '-c', script]);
}

/** What one case plays with: actors, each an executable of its own, and the log of them all. */
export class Scene {
  readonly places: Places;
  readonly #directory: string;
  readonly #cleanup = new Cleanup();
  readonly #programs = new Set<string>();

  /** @param directory on the file system of the build, made here */
  constructor(directory: string, places: Places) {
    this.#directory = directory;
    this.places = places;
    mkdirSync(directory, { recursive: true });
  }

  /** Path of an actor's program under the name of a role. */
  program(role: string): string {
    const path = join(this.#directory, role);
    if (!this.#programs.has(role)) linkSync(ACTOR_PROGRAM, path);
    this.#programs.add(role);
    return path;
  }

  actor(role: string, { wrapper } = this.places.home): Actor {
    const options = { wrapper, program: this.program(role), truthLog: this.#log };
    return this.#cleanup.keep(new Actor(options), (it) => it.end());
  }

  /** A namespace that is gone after the case at the latest. */
  async namespace(): Promise<Namespace> {
    return this.#cleanup.keep(await Namespace.create(), (it) => it.delete());
  }

  /** What happened so far. */
  truth(): TruthConnection[] {
    try {
      return parseTruthLog(readFileSync(this.#log, 'utf8'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  /** Ends all actors. */
  end(): Promise<void> {
    return this.#cleanup.run();
  }

  get #log(): string {
    return join(this.#directory, 'truth.jsonl');
  }
}

/** Has an actor carry out what ends only with the actor. */
export function endlessly(actor: Actor, command: string): void {
  actor.do(command).catch(() => undefined); // it was ended
}

/** Longer than two reports of any rung: everything that is open has been looked at. */
export async function untilLookedAt(): Promise<void> {
  await sleep(2_500);
}
