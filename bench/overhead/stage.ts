import { setTimeout as sleep } from 'node:timers/promises';
import type { Load } from './load.ts';
import { type Bench, type Measurement, measureOnce } from './measure.ts';
import type { Condition } from './tracer.ts';
import { secondsUnder, type Workload } from './workloads.ts';
import { World } from './world.ts';

/** What a measurement has otherwise than its workload says. */
export interface Changes {
  readonly seconds?: number;
  readonly allNetns?: boolean;
}

/** Two hosts and the clients of a workload, for one measurement or for many. */
export class Stage {
  readonly #workload: Workload;
  readonly #world: World;
  readonly #load: Load;

  private constructor(workload: Workload, world: World, load: Load) {
    this.#workload = workload;
    this.#world = world;
    this.#load = load;
  }

  static async open(workload: Workload): Promise<Stage> {
    const world = await World.create();
    try {
      return new Stage(workload, world, await workload.start(world));
    } catch (error) {
      await world.destroy();
      throw error;
    }
  }

  /** `condition` undefined: nobody traces. */
  async measure(
    bench: Bench,
    condition: Condition | undefined,
    changes: Changes = {},
  ): Promise<Measurement> {
    const { side } = this.#workload;
    const {
      seconds = secondsUnder(this.#workload, condition?.name),
      allNetns = this.#workload.allNetns ?? false,
    } = changes;
    const { cmdb, group } = bench;
    const world = this.#world;
    const tracer = await condition?.start({ world, cmdb, group, side, seconds, allNetns });
    try {
      if (tracer) await sleep((this.#workload.settleSeconds ?? 0) * 1000);
      const during = await measureOnce(bench, world, tracer, () => this.#load.run(seconds));
      const seen = await tracer?.stop();
      const { connections, attempted = connections } = during.load;
      const truth = this.#load.opened + attempted;
      return { ...during, truth, ...(seen ? { seen } : {}) };
    } catch (error) {
      await tracer?.kill();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#load.stop();
    await this.#world.destroy();
  }
}

/** Measures where nothing is left of the measurement before: no TIME_WAIT, no tracked connection. */
export async function measureAnew(
  bench: Bench,
  workload: Workload,
  condition: Condition | undefined,
  changes?: Changes,
): Promise<Measurement> {
  const stage = await Stage.open(workload);
  try {
    return await stage.measure(bench, condition, changes);
  } finally {
    await stage.close();
  }
}
