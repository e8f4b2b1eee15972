import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Part } from './profiles.ts';

/** A file of `node --cpu-prof`; times in microseconds of the monotonic clock. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
  }[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** What V8 calls the time in which nothing ran. */
const IDLE = '(idle)';

/** CPU time by function, between two readings of `process.hrtime`; the function's own only. */
export async function readCpuProfile(
  directory: string,
  [fromNs, untilNs]: readonly [bigint, bigint],
): Promise<Part[]> {
  const own = new Map<string, number>();
  const files = (await readdir(directory)).filter((name) => name.endsWith('.cpuprofile'));
  for (const file of files) {
    const profile = JSON.parse(await readFile(join(directory, file), 'utf8')) as CpuProfile;
    const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
    let atUs = profile.startTime;
    for (const [index, node] of profile.samples.entries()) {
      atUs += profile.timeDeltas[index] ?? 0;
      const name = names.get(node) ?? '';
      const isWithin = atUs >= Number(fromNs) / 1000 && atUs <= Number(untilNs) / 1000;
      // A sample stands for the time until the next one.
      const us = profile.timeDeltas[index + 1] ?? 0;
      if (isWithin && name !== IDLE) own.set(name, (own.get(name) ?? 0) + us);
    }
  }
  return [...own].map(([what, us]) => ({ what, ms: us / 1000 }));
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][0]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const file = url.startsWith('node:') ? url : basename(url);
  return functionName === '' ? `${name} ${file}:${lineNumber + 1}` : `${name} ${file}`;
}
