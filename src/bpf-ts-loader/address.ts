import { ADDRESS_SIZE } from './layout.ts';

/**
 * Slots of the cache: 256 KiB of keys, and at most as many short strings. As many as a drain has flows,
 * so that a flow's address is one string, however often it is told. Must be a power of two.
 */
const SLOTS = 16_384;
const WORDS = ADDRESS_SIZE / 4;
const GROUPS = ADDRESS_SIZE / 2;

/**
 * Text of an address of 16 bytes: the one place where IPv4-mapped IPv6 (RFC 4291, 2.5.5.2) is
 * folded into IPv4. IPv6 follows RFC 5952, section 4; no other prefix gets a dotted quad.
 * @param view where the address is found `at`, in network byte order
 */
export function formatAddress(view: DataView, at: number): string {
  if (isIpv4Mapped(view, at)) {
    // Joined, since what a template makes is kept as the tree of its parts.
    return [
      view.getUint8(at + 12),
      view.getUint8(at + 13),
      view.getUint8(at + 14),
      view.getUint8(at + 15),
    ].join('.');
  }
  const { start, length } = longestZeroRun(view, at);
  if (length < 2) {
    return hexGroups(view, at, 0, GROUPS);
  }
  return `${hexGroups(view, at, 0, start)}::${hexGroups(view, at, start + length, GROUPS)}`;
}

function isIpv4Mapped(view: DataView, at: number): boolean {
  return (
    view.getUint32(at) === 0 && view.getUint32(at + 4) === 0 && view.getUint32(at + 8) === 0xffff
  );
}

/** The first of the longest runs, as RFC 5952, section 4.2.3 wants it. */
function longestZeroRun(view: DataView, at: number): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i < GROUPS; i++) {
    if (view.getUint16(at + 2 * i) !== 0) {
      start = i + 1;
    } else if (i + 1 - start > best.length) {
      best = { start, length: i + 1 - start };
    }
  }
  return best;
}

function hexGroups(view: DataView, at: number, from: number, to: number): string {
  let text = '';
  for (let i = from; i < to; i++) {
    text += (i === from ? '' : ':') + view.getUint16(at + 2 * i).toString(16);
  }
  return text;
}

/**
 * `formatAddress` with a memory: a drain repeats few addresses many times. Direct-mapped, so it is
 * bounded and a lookup allocates nothing; a collision costs one formatting, never a wrong text.
 */
export class AddressCache {
  readonly #words = new Uint32Array(SLOTS * WORDS);
  readonly #texts: (string | undefined)[] = new Array(SLOTS).fill(undefined);

  format(view: DataView, at: number): string {
    const a = view.getUint32(at);
    const b = view.getUint32(at + 4);
    const c = view.getUint32(at + 8);
    const d = view.getUint32(at + 12);
    const slot = slotOf(a, b, c, d);
    const words = this.#words;
    const word = slot * WORDS;
    const known = this.#texts[slot];
    if (
      known !== undefined &&
      words[word] === a &&
      words[word + 1] === b &&
      words[word + 2] === c &&
      words[word + 3] === d
    ) {
      return known;
    }
    const text = formatAddress(view, at);
    words[word] = a;
    words[word + 1] = b;
    words[word + 2] = c;
    words[word + 3] = d;
    this.#texts[slot] = text;
    return text;
  }
}

/** Multiplicative hash (Knuth, 6.4); the upper bits of a product are the well mixed ones. */
function slotOf(a: number, b: number, c: number, d: number): number {
  let hash = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b);
  hash = Math.imul((hash ^ b) + (hash >>> 15), 0xc2b2ae35);
  hash = Math.imul((hash ^ c) + (hash >>> 13), 0x27d4eb2f);
  hash = Math.imul((hash ^ d) + (hash >>> 16), 0x9e3779b1);
  return (hash >>> 16) & (SLOTS - 1);
}
