import type { ContainerRecord } from './identity.ts';
import { printable, withoutDeletedMark } from './text.ts';
import { unitOfComponent } from './unit.ts';

/** Where a process runs: in a systemd unit, in a container, or in neither. */
export interface Placement {
  /** '' when none, and in a container: there the container is the stable thing. */
  readonly unit: string;
  readonly container: ContainerRecord | null;
}

export const NOWHERE: Placement = { unit: '', container: null };

/** The paths of /proc/PID/cgroup; null where the file has no such line. */
export interface CgroupPaths {
  /** cgroup v2 (`0::PATH`). */
  readonly unified: string | null;
  /** The v1 hierarchy that systemd keeps for itself (`name=systemd`). */
  readonly systemd: string | null;
  /** v1 controllers. */
  readonly controllers: readonly string[];
}

/** Parses /proc/PID/cgroup (cgroups(7)): lines `hierarchy:controllers:path`. */
export function parseCgroupFile(text: string): CgroupPaths {
  let unified: string | null = null;
  let systemd: string | null = null;
  const controllers: string[] = [];
  for (const line of text.split('\n')) {
    const first = line.indexOf(':');
    const second = line.indexOf(':', first + 1);
    if (first < 0 || second < 0) {
      continue;
    }
    const path = withoutDeletedMark(line.slice(second + 1));
    const names = line.slice(first + 1, second);
    if (line.startsWith('0:') && names === '') {
      unified = path;
    } else if (names === 'name=systemd') {
      systemd = path;
    } else {
      controllers.push(path);
    }
  }
  return { unified, systemd, controllers };
}

/**
 * Places a process by all its cgroup paths. A container in any of them counts: on hybrid hosts
 * container runtimes move processes in the v1 hierarchies only, and the v2 path still names the
 * runtime's own service.
 */
export function placementOf(paths: CgroupPaths): Placement {
  const seen = new Set([paths.unified, paths.systemd, ...paths.controllers]);
  let unit = '';
  for (const path of seen) {
    if (path === null || path === '/') {
      continue;
    }
    const placement = placementOfPath(path);
    if (placement.container !== null) {
      return placement;
    }
    unit ||= placement.unit;
  }
  return unit === '' ? NOWHERE : { unit, container: null };
}

/** Places a process by one cgroup path: the innermost container, else the innermost unit. */
export function placementOfPath(path: string): Placement {
  const components = path.split('/').filter((component) => component !== '');
  for (let i = components.length - 1; i >= 0; i--) {
    const container = containerAt(components, i);
    if (container !== null) {
      return { unit: '', container };
    }
  }
  for (let i = components.length - 1; i >= 0; i--) {
    const unit = unitOfComponent(components[i] ?? '');
    if (unit !== null) {
      return unit === '' ? NOWHERE : { unit: printable(unit), container: null };
    }
  }
  return NOWHERE;
}

const RUNTIMES: Readonly<Record<string, string>> = {
  docker: 'docker',
  'cri-containerd': 'containerd',
  nerdctl: 'containerd',
  crio: 'crio',
  libpod: 'podman',
};

// systemd driver: docker-ID.scope; cgroupfs driver: libpod-ID; containerd without a slice:
// SLICE:cri-containerd:ID.
const PREFIXED_ID =
  /^(?:.*:)?(docker|cri-containerd|nerdctl|crio|libpod)[-:]([0-9a-f]{12,64})(?:\.scope)?$/;
const BARE_ID = /^[0-9a-f]{64}$/;
const LXC_PAYLOAD = /^lxc\.payload\.(.+)$/;
const MACHINE_SCOPE = /^machine-(.+)\.scope$/;
const NSPAWN_SERVICE = /^systemd-nspawn@(.+)\.service$/;

/** The container that component `i` of a cgroup path names, if it names one. */
function containerAt(components: readonly string[], i: number): ContainerRecord | null {
  const name = components[i] ?? '';
  const parent = components[i - 1] ?? '';
  const child = components[i + 1] ?? '';
  const prefixed = PREFIXED_ID.exec(name);
  if (prefixed !== null) {
    return record(prefixed[2] ?? '', RUNTIMES[prefixed[1] ?? ''] ?? '');
  }
  if (BARE_ID.test(name)) {
    return record(name, parent === 'docker' ? 'docker' : '');
  }
  if (parent === 'lxc' || parent === 'lxc.payload') {
    return record(name, 'lxc');
  }
  const payload = LXC_PAYLOAD.exec(name);
  if (payload !== null) {
    return record(payload[1] ?? '', 'lxc');
  }
  return nspawnAt(name, child);
}

/** systemd-nspawn keeps its own process beside the container's, in `supervisor`. */
function nspawnAt(name: string, child: string): ContainerRecord | null {
  const machine = MACHINE_SCOPE.exec(name)?.[1];
  // libvirt registers machines too, numbered anew at each start.
  if (machine !== undefined && child !== 'supervisor' && !/^(?:qemu|lxc)\\x2d/.test(machine)) {
    return record(unescapeUnit(machine), 'nspawn');
  }
  const service = NSPAWN_SERVICE.exec(name)?.[1];
  return service !== undefined && child === 'payload'
    ? record(unescapeUnit(service), 'nspawn')
    : null;
}

function record(containerId: string, runtime: string): ContainerRecord {
  return { containerId: printable(containerId), runtime };
}

/** Undoes systemd-escape(1) as far as machine names need it. */
function unescapeUnit(name: string): string {
  return name.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
