import { readdirSync, readFileSync } from 'node:fs';
import { run } from '../support/run.ts';

/** What a run of the agent takes at one moment. */
export interface Sample {
  readonly atS: number;
  readonly agentRssKiB: number;
  readonly agentFds: number;
  readonly helperRssKiB: number;
  readonly helperFds: number;
  /** Entries in use of each of the helper's BPF maps, by name. */
  readonly maps: Readonly<Record<string, number>>;
}

/** Maps whose entries come and go with the load. */
const MAPS: ReadonlySet<string> = new Set([
  'sockets',
  'flows_first',
  'tt_flows',
  'announced',
  'listeners',
  'kinds',
]);

export async function sample(atS: number, agentPid: number, helperPid: number): Promise<Sample> {
  return {
    atS,
    agentRssKiB: rssKiB(agentPid),
    agentFds: fds(agentPid).length,
    helperRssKiB: rssKiB(helperPid),
    helperFds: fds(helperPid).length,
    maps: await mapFill(helperPid),
  };
}

function rssKiB(pid: number): number {
  return Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

function fds(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`);
}

async function mapFill(pid: number): Promise<Record<string, number>> {
  const ids = fds(pid).flatMap((fd) => mapIdOf(pid, fd));
  const fill: Record<string, number> = {};
  for (const id of new Set(ids)) {
    const shown = await run('bpftool', ['-j', 'map', 'show', 'id', id]);
    if (shown.code !== 0) continue; // of a helper that has ended
    const { name } = JSON.parse(shown.stdout) as { name: string };
    if (!MAPS.has(name)) continue;
    const dumped = await run('bpftool', ['-j', 'map', 'dump', 'id', id]);
    fill[name] = (JSON.parse(dumped.stdout || '[]') as unknown[]).length;
  }
  return fill;
}

function mapIdOf(pid: number, fd: string): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
    const id = /^map_id:\s*(\d+)$/m.exec(text)?.[1];
    return id === undefined ? [] : [id];
  } catch {
    return []; // closed meanwhile
  }
}
