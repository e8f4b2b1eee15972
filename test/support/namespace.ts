import { existsSync } from 'node:fs';
import { run, runOk } from './run.ts';

/** An address within {@link Namespace.addSilentPeer}'s link that nobody has. */
export const SILENT_ADDRESS = '10.231.77.9';
export const SILENT_ADDRESS_IPV6 = 'fd77:231::9';

let made = 0;

const NAME = /^tt-test-(\d+)-\d+/;

/** A network namespace of a test, with loopback up and nothing else. */
export class Namespace {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  static async create(): Promise<Namespace> {
    made += 1;
    const namespace = new Namespace(`tt-test-${process.pid}-${made}`);
    await runOk('ip', ['netns', 'add', namespace.name]);
    await namespace.ip('link', 'set', 'lo', 'up');
    return namespace;
  }

  /** Runs what follows inside. `ip` executes it in its own place: same pid. */
  get wrapper(): readonly string[] {
    return ['ip', 'netns', 'exec', this.name];
  }

  ip(...argv: readonly string[]): Promise<string> {
    return runOk('ip', ['-n', this.name, ...argv]);
  }

  /**
   * Adds a link, both ends of it in here, with {@link SILENT_ADDRESS} beyond it: packets to it are
   * sent and never answered, not even by "no such neighbour".
   */
  async addSilentPeer(): Promise<void> {
    await this.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
    await this.ip('addr', 'add', '10.231.77.1/24', 'dev', 'near');
    await this.ip('addr', 'add', 'fd77:231::1/64', 'dev', 'near', 'nodad');
    await this.ip('link', 'set', 'near', 'up');
    await this.ip('link', 'set', 'far', 'up');
    for (const address of [SILENT_ADDRESS, SILENT_ADDRESS_IPV6]) {
      const neighbour = [address, 'lladdr', '02:00:00:00:00:01', 'dev', 'near', 'nud', 'permanent'];
      await this.ip('neigh', 'add', ...neighbour);
    }
  }

  /** Deletes it, and ends what still runs in it: nobody but its test starts anything there. */
  async delete(): Promise<void> {
    await deleteNamespace(this.name);
  }

  /** Deletes what test processes left that were killed. */
  static async removeStale(): Promise<void> {
    const list = await runOk('ip', ['netns', 'list']);
    for (const line of list.split('\n')) {
      const [name = '', pid] = NAME.exec(line) ?? [];
      if (pid !== undefined && !existsSync(`/proc/${pid}`)) await deleteNamespace(name);
    }
  }
}

async function deleteNamespace(name: string): Promise<void> {
  const { stdout } = await run('ip', ['netns', 'pids', name]);
  for (const pid of stdout.split('\n').filter((line) => /^\d+$/.test(line.trim()))) {
    await run('kill', ['-KILL', pid.trim()]);
  }
  await run('ip', ['netns', 'delete', name]);
}
