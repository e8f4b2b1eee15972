import { hash } from 'node:crypto';

/** Of 8 bytes. */
const HEX_DIGITS = 16;

/**
 * A signed 64-bit id as a decimal string: the first 8 bytes of SHA-256 over the length-prefixed
 * fields. Never '0'.
 */
export function hashId(...fields: readonly (string | number)[]): string {
  const text = fields.map((field) => `${String(field).length}:${field}`).join('');
  const first = hash('sha256', text).slice(0, HEX_DIGITS);
  const id = BigInt.asIntN(64, BigInt(`0x${first}`)).toString();
  return id === '0' ? '1' : id;
}

export interface Edge {
  /** '' or what confines host-local addresses. */
  readonly scope: string;
  readonly activeAddress: string;
  readonly passiveAddress: string;
  readonly passivePort: number;
}

/** The same from both ends of a connection, on whichever hosts they are. */
export function edgeIdOf(edge: Edge): string {
  return hashId('tcp', edge.activeAddress, edge.passiveAddress, edge.passivePort, edge.scope);
}
