/**
 * Runs the agent under mixed load for SOAK_SECONDS (default 600), with restarts of helper and agent,
 * and judges whether anything grew and whether every connection was counted once. Prints a table and
 * a verdict, writes build/soak.json, exits 1 when the verdict is bad.
 *
 * Restarts come between rounds of load, when all is reported: what opens and closes while nobody
 * watches is not counted, and said to be so elsewhere.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../support/cleanup.ts';
import { type GraphJson, Ttracerd, ttctlJson } from '../support/commands.ts';
import { Namespace } from '../support/namespace.ts';
import { startTestPostgres, temporaryDirectory, urlOf } from '../support/postgres.ts';
import { REPOSITORY } from '../support/run.ts';
import { SoakLoad } from './load.ts';
import { type Sample, sample } from './samples.ts';
import { type Check, checkCounts, checkGrowth } from './verdict.ts';

const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 600);
/** The agent is restarted early on, so that what it grows to afterwards can be told. */
const AGENT_RESTARTS_S = [0.04, 0.08].map((part) => part * SECONDS);
const HELPER_RESTARTS_S = [0.06, 0.3, 0.55, 0.8].map((part) => part * SECONDS);
const SETTLED_S = Math.min(120 + 0.08 * SECONDS, 0.4 * SECONDS);
const SAMPLE_EVERY_S = Math.max(1, SECONDS / 60);
const FLUSH_MS = 1_000;

class Soak {
  readonly samples: Sample[] = [];
  readonly #cleanup = new Cleanup();
  readonly #startedMs = performance.now();
  readonly #load: SoakLoad;
  readonly #namespace: Namespace;
  readonly #reach: readonly string[];
  readonly #dataDir: string;
  #agent: Ttracerd;
  #restarts = 0;

  static async start(cleanup: Cleanup): Promise<Soak> {
    const namespace = cleanup.keep(await Namespace.create(), (it) => it.delete());
    const dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    const postgres = cleanup.keep(await startTestPostgres(), (it) => it.stop());
    const reach = ['--cmdb', urlOf(await postgres.createDatabase())];
    const load = cleanup.keep(new SoakLoad(namespace.wrapper), (it) => it.end());
    await load.start();
    const soak = new Soak(cleanup, namespace, dataDir, reach, load);
    await soak.#agent.ready();
    return soak;
  }

  private constructor(
    cleanup: Cleanup,
    namespace: Namespace,
    dataDir: string,
    reach: readonly string[],
    load: SoakLoad,
  ) {
    this.#cleanup = cleanup;
    this.#namespace = namespace;
    this.#dataDir = dataDir;
    this.#reach = reach;
    this.#load = load;
    this.#agent = this.#startAgent();
  }

  get #atS(): number {
    return (performance.now() - this.#startedMs) / 1_000;
  }

  async run(): Promise<Check[]> {
    const agentRestarts = [...AGENT_RESTARTS_S];
    const helperRestarts = [...HELPER_RESTARTS_S];
    let sampleAtS = 0;
    while (this.#atS < SECONDS) {
      await this.#load.round();
      if (this.#atS >= sampleAtS) {
        await this.#sample();
        sampleAtS = this.#atS + SAMPLE_EVERY_S;
      }
      if (this.#isDue(agentRestarts)) await this.#restartAgent();
      if (this.#isDue(helperRestarts)) await this.#restartHelper();
    }
    await this.#agent.stop();
    const graph = await ttctlJson<GraphJson>(['flows', ...this.#reach], { timeoutMs: 60_000 });
    const settled = this.samples.filter(({ atS }) => atS >= SETTLED_S);
    return [...checkGrowth(settled), ...checkCounts(this.#load.truth, graph)];
  }

  #startAgent(): Ttracerd {
    const argv = ['--data-dir', this.#dataDir, '--netns', 'own', '--bucket', '1m', ...this.#reach];
    const agent = new Ttracerd([...argv, '--flush-interval', `${FLUSH_MS}ms`], {
      wrapper: this.#namespace.wrapper,
    });
    return this.#cleanup.keep(agent, (it) => it.kill());
  }

  #isDue(times: number[]): boolean {
    if ((times[0] ?? Number.POSITIVE_INFINITY) > this.#atS) return false;
    times.shift();
    return true;
  }

  async #sample(): Promise<void> {
    const taken = await sample(Math.round(this.#atS), this.#agent.pid, this.#agent.helperPid);
    this.samples.push(taken);
    const maps = Object.entries(taken.maps).map(([name, entries]) => `${name} ${entries}`);
    process.stdout.write(
      `${String(taken.atS).padStart(5)} s  agent ${taken.agentRssKiB} KiB ${taken.agentFds} fds  ` +
        `helper ${taken.helperRssKiB} KiB ${taken.helperFds} fds  ${maps.join(', ')}\n`,
    );
  }

  async #restartAgent(): Promise<void> {
    process.stdout.write('       the agent is stopped and started\n');
    await this.#agent.stop();
    this.#agent = this.#startAgent();
    this.#restarts = 0;
    await this.#agent.ready();
  }

  async #restartHelper(): Promise<void> {
    process.stdout.write('       the helper is killed\n');
    await sleep(3 * FLUSH_MS);
    process.kill(this.#agent.helperPid, 'SIGKILL');
    this.#restarts += 1;
    await this.#agent.logged('watching again; the gap was repaired', 20_000, this.#restarts);
  }
}

async function main(): Promise<number> {
  if (process.getuid?.() !== 0) {
    process.stderr.write('soak: needs root\n');
    return 2;
  }
  const cleanup = new Cleanup();
  try {
    const soak = await Soak.start(cleanup);
    const checks = await soak.run();
    const ok = checks.every((check) => check.ok);
    const { samples } = soak;
    await writeFile(
      join(REPOSITORY, 'build', 'soak.json'),
      `${JSON.stringify({ seconds: SECONDS, ok, checks, samples }, null, 1)}\n`,
    );
    for (const { what, ok: good, found } of checks)
      process.stdout.write(`${good ? 'ok ' : 'BAD'}  ${what}: ${found}\n`);
    return ok ? 0 : 1;
  } finally {
    await cleanup.run();
  }
}

process.exitCode = await main();
