import { setTimeout as sleep } from 'node:timers/promises';
import type pino from 'pino';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { describeError } from '../errors.ts';
import type { EmbeddedLayout } from './layout.ts';
import { logTail, type Postmaster, startPostmaster } from './postmaster.ts';
import { runningPostmaster } from './postmaster-pid.ts';
import { prepareCluster } from './prepare.ts';
import { probeServer } from './probe.ts';

/** The server that now serves: our child, or somebody else's that was adopted. */
interface Serving {
  readonly version: string;
  /** Undefined when adopted. */
  readonly child: Postmaster | undefined;
}

/** A server that recovers from a crash answers late. */
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 25;
/** A server that is not our child tells nobody when it ends. */
const WATCH_ADOPTED_MS = 500;
/** The end of our own is told; what it logs is little. */
const WATCH_OWN_MS = 10_000;
const RESTART_BACKOFF_MAX_MS = 10_000;

export interface SupervisorOptions {
  readonly layout: EmbeddedLayout;
  readonly log: pino.Logger;
  readonly binDir: string | undefined;
}

/**
 * Keeps a server running on one cluster until stopped. A server somebody else started is adopted and
 * left running at the end. It dies with its owner; then, as when our own server ends unasked, a new
 * one is started. Socket and database stay the same, so clients only have to reconnect.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  #serving: Serving | undefined;
  #watch: NodeJS.Timeout | undefined;
  #restart: Promise<void> | undefined;
  #stopping = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** @throws UserError when there is no way to get a server */
  async start(): Promise<{ readonly version: string; readonly adopted: boolean }> {
    const serving = await this.#bringUp();
    this.#serve(serving);
    return { version: serving.version, adopted: serving.child === undefined };
  }

  /** Fast shutdown of our own server, then harder ones: at most about 5 s. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#watch);
    await this.#restart;
    await this.#serving?.child?.stop();
    this.#serving = undefined;
  }

  async #bringUp(): Promise<Serving> {
    const { layout } = this.#options;
    const deadlineMs = performance.now() + READY_TIMEOUT_MS;
    while (performance.now() < deadlineMs && !this.#stopping) {
      if (runningPostmaster(layout.cluster) === undefined) {
        const serving = await this.#startOwn(deadlineMs);
        if (serving) return serving;
      } else {
        const version = await probeServer(layout);
        if (version) return { version, child: undefined };
      }
      await sleep(POLL_MS);
    }
    throw new UserError(
      ExitCode.cmdbUnreachable,
      `the embedded CMDB in ${layout.dataDir} is not ready after ${READY_TIMEOUT_MS / 1000} s: see ${layout.log}`,
    );
  }

  /** @returns undefined when somebody else was faster to start a server here */
  async #startOwn(deadlineMs: number): Promise<Serving | undefined> {
    const { layout, log, binDir } = this.#options;
    const child = startPostmaster(layout, await prepareCluster(layout, { binDir, log }));
    try {
      while (child.isRunning() && performance.now() < deadlineMs && !this.#stopping) {
        // The socket may be somebody else's: our child serves when the lock file names it.
        if (runningPostmaster(layout.cluster) === child.pid) {
          const version = await probeServer(layout);
          if (version && child.isRunning()) return { version, child };
        }
        await sleep(POLL_MS);
      }
    } catch (error) {
      await child.stop();
      throw error;
    }
    if (child.isRunning()) {
      await child.stop();
      return undefined;
    }
    const how = await child.exited;
    if (runningPostmaster(layout.cluster) !== undefined) return undefined;
    // Sessions of a server that was killed may still be busy; they end by themselves.
    if (/still in use/.test(logTail(layout))) return undefined;
    throw new UserError(
      ExitCode.cmdbUnreachable,
      `the embedded CMDB in ${layout.dataDir} did not start (${how}): ${logTail(layout)}`,
    );
  }

  #isServing(): boolean {
    const child = this.#serving?.child;
    if (child) return child.isRunning();
    return runningPostmaster(this.#options.layout.cluster) !== undefined;
  }

  /** From now on this one serves: looks after it until it ends. */
  #serve(serving: Serving): void {
    this.#serving = serving;
    void serving.child?.exited.then(() => this.#look(serving));
    this.#wind(serving);
  }

  #wind(serving: Serving): void {
    clearTimeout(this.#watch);
    if (this.#stopping) return;
    const watchMs = serving.child === undefined ? WATCH_ADOPTED_MS : WATCH_OWN_MS;
    this.#watch = setTimeout(() => this.#look(serving), watchMs).unref();
  }

  #look(serving: Serving): void {
    const isBusy = this.#stopping || this.#restart !== undefined;
    if (isBusy || serving !== this.#serving) return;
    serving.child?.trimLog();
    if (this.#isServing()) {
      this.#wind(serving);
      return;
    }
    this.#restart = this.#replace().finally(() => {
      this.#restart = undefined;
      if (this.#serving) this.#look(this.#serving); // it may have ended by now
    });
  }

  async #replace(): Promise<void> {
    const { log } = this.#options;
    log.warn('the embedded CMDB has gone; starting it again');
    for (let waitMs = 100; !this.#stopping; waitMs = Math.min(waitMs * 2, RESTART_BACKOFF_MAX_MS)) {
      try {
        const serving = await this.#bringUp();
        this.#serve(serving);
        log.info({ adopted: !serving.child }, 'the embedded CMDB is back');
        return;
      } catch (error) {
        log.error({ err: error }, `can't restart the embedded CMDB: ${describeError(error)}`);
      }
      await this.#pause(waitMs);
    }
  }

  /** Sleeps, but not on once stopping. */
  async #pause(waitMs: number): Promise<void> {
    for (let leftMs = waitMs; leftMs > 0 && !this.#stopping; leftMs -= POLL_MS)
      await sleep(POLL_MS);
  }
}
