import { rm } from 'node:fs/promises';
import { Ttracerd } from '../../test/support/commands.ts';
import { temporaryDirectory } from '../../test/support/postgres.ts';
import type { Condition, RunningTracer, Setting } from './tracer.ts';

/** Name of the process that bench's own client and nginx's workers show. */
const PROCESS = { server: 'nginx', client: 'bench-load' } as const;
const OPENS = { server: 'P', client: 'A' } as const;

/**
 * One flush, and one snapshot when streaming, fall into each measurement, however short it is: more
 * often than by default, so that our cost is rather over- than understated. Polling takes a snapshot
 * each second anyway; its search for owners in /proc comes by default every 30 s, and once a second it
 * would be another tool.
 */
function intervals(mode: 'stream' | 'poll', seconds: number): readonly string[] {
  const flush = ['--flush-interval', `${seconds}s`];
  return mode === 'poll' ? flush : [...flush, '--reconcile-interval', `${seconds}s`];
}

/** Our agent, as a user would start it on the host that is traced. */
async function start(mode: 'stream' | 'poll', setting: Setting): Promise<RunningTracer> {
  const { world, cmdb, group, side, allNetns, seconds } = setting;
  const dataDir = await temporaryDirectory();
  const hostId = cmdb.newHostId();
  const place = allNetns ? [...group.wrapper, 'taskset', '-c', '0'] : world.on(side, group);
  const agent = new Ttracerd(
    [
      ...['--mode', mode, '--netns', allNetns ? 'all' : 'own', '--cmdb', cmdb.url],
      ...['--host-id', hostId, '--host-name', `bench-${side}`, '--data-dir', dataDir],
      ...intervals(mode, seconds),
    ],
    { wrapper: place },
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
