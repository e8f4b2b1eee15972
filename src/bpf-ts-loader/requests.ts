import { endianness } from 'node:os';
import { type Deferred, deferred } from './deferred.ts';
import { HelperTimeoutError } from './errors.ts';
import type { DoneFrame } from './frames.ts';
import type { RequestOptions } from './helper.ts';
import { HEADER, REQUEST, REQUEST_TYPE, SNAPSHOT_BIT } from './layout.ts';

/** `drain`: report flow counts and stats. `snapshot`: reconcile with the sockets that exist first. */
export type RequestKind = Exclude<keyof typeof REQUEST_TYPE, 'acknowledge'>;

/** The bytes of a request, as they go to the helper's stdin. */
export function encodeRequest(
  kind: RequestKind,
  requestId: bigint,
  { allOwners = false, last = false }: Pick<RequestOptions, 'allOwners' | 'last'> = {},
): Uint8Array {
  const flags = (allOwners ? SNAPSHOT_BIT.owners : 0) | (last ? SNAPSHOT_BIT.last : 0);
  return encode(REQUEST_TYPE[kind], flags, requestId);
}

/** Generations up to this one need not be kept in the kernel any more; there is no answer. */
export function encodeAcknowledgement(generation: bigint): Uint8Array {
  return encode(REQUEST_TYPE.acknowledge, 0, generation);
}

function encode(type: number, flags: number, requestId: bigint): Uint8Array {
  const littleEndian = endianness() === 'LE';
  const bytes = new Uint8Array(REQUEST.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(HEADER.length, REQUEST.size, littleEndian);
  view.setUint16(HEADER.type, type, littleEndian);
  view.setUint16(HEADER.flags, flags, littleEndian);
  view.setBigUint64(REQUEST.requestId, requestId, littleEndian);
  return bytes;
}

interface Pending {
  readonly answer: Deferred<DoneFrame>;
  readonly timer: NodeJS.Timeout;
}

/** Requests on their way; matches them with their DONE frames by id. */
export class PendingRequests {
  readonly #pending = new Map<bigint, Pending>();
  #lastId = 0n;

  /** @param lagged asked when time is up: has our own side kept the answer from being read? */
  add(
    kind: RequestKind,
    timeoutMs: number,
    lagged: () => boolean,
  ): { readonly requestId: bigint; readonly answer: Promise<DoneFrame> } {
    this.#lastId += 1n;
    const requestId = this.#lastId;
    const answer = deferred<DoneFrame>();
    // When this process itself was stopped or busy, the answer may be there, unread: read it first.
    const timer = setTimeout(() => {
      setImmediate(() => {
        if (this.#pending.delete(requestId)) {
          answer.reject(new HelperTimeoutError(`answer to '${kind}'`, timeoutMs, lagged()));
        }
      });
    }, timeoutMs);
    this.#pending.set(requestId, { answer, timer });
    return { requestId, answer: answer.promise };
  }

  /** A DONE frame nobody waits for is a late answer: its request has timed out. */
  settle(done: DoneFrame): void {
    const pending = this.#pending.get(done.requestId);
    if (pending !== undefined) {
      this.#pending.delete(done.requestId);
      clearTimeout(pending.timer);
      pending.answer.resolve(done);
    }
  }

  rejectAll(error: Error): void {
    for (const { answer, timer } of this.#pending.values()) {
      clearTimeout(timer);
      answer.reject(error);
    }
    this.#pending.clear();
  }
}
