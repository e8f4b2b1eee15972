import type { NamedProcess } from '../../../src/process/identity.ts';

/** An instance of the node `name`; the same name is the same node. */
export function named(name: string, pid: number, ppid = 1): NamedProcess {
  return {
    record: {
      processId: name,
      name,
      exe: `/usr/bin/${name}`,
      command: name,
      unit: '',
      containerId: null,
      uid: 0,
      userName: 'root',
      pid,
      pgid: pid,
    },
    container: null,
    ppid,
    startTimeNs: BigInt(pid) * 10_000_000n,
  };
}
