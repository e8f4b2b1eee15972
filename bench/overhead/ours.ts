import { rm } from 'node:fs/promises';
import { Ttracerd } from '../../test/support/commands.ts';
import { temporaryDirectory } from '../../test/support/postgres.ts';
import type { Condition, RunningTracer, Setting } from './tracer.ts';

/** Name of the process that bench's own client and nginx's workers show. */
const PROCESS = { server: 'nginx', client: 'bench-load' } as const;
const OPENS = { server: 'P', client: 'A' } as const;

/** The defaults: how long a window shows what an agent costs in the long run. */
const [FLUSH_SECONDS, RECONCILE_SECONDS] = [10, 30];

/**
 * One flush, and one reconcile when streaming, fall into each measurement, however short it is: in a
 * window shorter than the defaults more often than by default, so that our cost is rather over- than
 * understated. Polling takes a snapshot each second anyway; its search for owners in /proc comes by
 * default every 30 s, and once a second it would be another tool.
 */
function intervals(mode: 'stream' | 'poll', seconds: number): readonly string[] {
  const flush = ['--flush-interval', `${Math.min(seconds, FLUSH_SECONDS)}s`];
  const reconcile = ['--reconcile-interval', `${Math.min(seconds, RECONCILE_SECONDS)}s`];
  return mode === 'poll' ? flush : [...flush, ...reconcile];
}

/** Our agent, as a user would start it on the host that is traced. */
async function start(mode: 'stream' | 'poll', setting: Setting): Promise<RunningTracer> {
  const { world, cmdb, group, side, allNetns, seconds, profiler = [] } = setting;
  const dataDir = await temporaryDirectory();
  const hostId = cmdb.newHostId();
  const place = allNetns ? [...group.wrapper, 'taskset', '-c', '0'] : world.on(side, group);
  const agent = new Ttracerd(
    [
      ...['--mode', mode, '--netns', allNetns ? 'all' : 'own', '--cmdb', cmdb.url],
      ...['--host-id', hostId, '--host-name', `bench-${side}`, '--data-dir', dataDir],
      ...intervals(mode, seconds),
    ],
    { wrapper: [...place, ...profiler] },
  );
  try {
    await agent.ready();
  } catch (error) {
    await agent.kill();
    throw error;
  }
  return {
    startMs:
      new Date(String((await agent.logged('attached'))['time'])).getTime() - agent.startedAtMs,
    agentPid: agent.pid,
    helperPid: agent.helperPid,
    kill: () => agent.kill(),
    stop: async () => {
      const { code, stderr } = await agent.stop();
      if (code !== 0) throw new Error(`ttracerd ended with ${code}: ${stderr}`);
      await rm(dataDir, { recursive: true, force: true });
      return cmdb.seenBy(hostId, OPENS[side], PROCESS[side]);
    },
  };
}

export const OURS: readonly Condition[] = (['stream', 'poll'] as const).map((name) => ({
  name,
  needs: [],
  start: (setting) => start(name, setting),
}));
