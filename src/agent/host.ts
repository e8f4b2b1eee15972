import { createHmac, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname, release } from 'node:os';
import { join } from 'node:path';
import type { HostRecord } from '../flow/records.ts';

/** Keys the HMAC, so that the machine-id itself never leaves the host (machine-id(5)). */
const APPLICATION_KEY = 'transtracer host id v1';
const MACHINE_ID_PATHS = ['/etc/machine-id', '/var/lib/dbus/machine-id'];
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const BOOT_ID_PATH = '/proc/sys/kernel/random/boot_id';

export interface HostQuestion {
  readonly hostId: string | undefined;
  readonly hostName: string | undefined;
  readonly dataDir: string;
  readonly agentVersion: string;
  /** Where to look for a machine-id, in this order; default as machine-id(5) and D-Bus have it. */
  readonly machineIdPaths?: readonly string[];
}

/** Who this host is. Without a machine-id an id is made once and kept in the data directory. */
export function describeHost(question: HostQuestion): HostRecord {
  const { machineIdPaths = MACHINE_ID_PATHS } = question;
  return {
    hostId: question.hostId ?? machineHostId(machineIdPaths) ?? keptHostId(question.dataDir),
    name: question.hostName ?? hostname(),
    bootId: readTrimmed(BOOT_ID_PATH),
    agentVersion: question.agentVersion,
    kernelRelease: release(),
  };
}

function readTrimmed(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim() || null;
  } catch {
    return null; // not on this system: a value, the caller has another source
  }
}

function machineHostId(paths: readonly string[]): string | null {
  // A file may say "uninitialized" or be empty (machine-id(5)).
  const machineId = paths.map(readTrimmed).find((id) => /^[0-9a-f]{32}$/i.test(id ?? ''));
  if (!machineId) return null;
  const digest = createHmac('sha256', machineId.toLowerCase()).update(APPLICATION_KEY).digest();
  return uuidFrom(digest);
}

/** 16 bytes as a UUID of version 8, "custom" (RFC 9562, section 5.8). */
function uuidFrom(digest: Buffer): string {
  const bytes = Buffer.from(digest.subarray(0, 16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function keptHostId(dataDir: string): string {
  const path = join(dataDir, 'host-id');
  const kept = readTrimmed(path);
  if (kept !== null && UUID.test(kept)) return kept;
  const made = randomUUID();
  writeFileSync(path, `${made}\n`);
  return made;
}
