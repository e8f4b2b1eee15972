import { AddressCache } from './address.ts';

/** A field holds a number that its enum does not know. */
export class UnknownValueError extends Error {
  override readonly name = 'UnknownValueError';
}

/** Reads single fields of the C structs. One per stream: it remembers address texts. */
export class FieldReader {
  readonly #addresses = new AddressCache();
  readonly #littleEndian: boolean;

  constructor(littleEndian: boolean) {
    this.#littleEndian = littleEndian;
  }

  u16(view: DataView, at: number): number {
    return view.getUint16(at, this.#littleEndian);
  }

  u32(view: DataView, at: number): number {
    return view.getUint32(at, this.#littleEndian);
  }

  i32(view: DataView, at: number): number {
    return view.getInt32(at, this.#littleEndian);
  }

  u64(view: DataView, at: number): bigint {
    return view.getBigUint64(at, this.#littleEndian);
  }

  address(view: DataView, at: number): string {
    return this.#addresses.format(view, at);
  }

  /** Text up to the first NUL or the end of the field; bytes that are not UTF-8 become U+FFFD. */
  text(view: DataView, at: number, size: number): string {
    let length = 0;
    while (length < size && view.getUint8(at + length) !== 0) {
      length++;
    }
    return Buffer.from(view.buffer, view.byteOffset + at, length).toString('utf8');
  }
}

/** The names of an enum, indexed by their numbers. */
export function namesByNumber<Name extends string>(
  numbers: Readonly<Record<Name, number>>,
): readonly (Name | undefined)[] {
  const names: (Name | undefined)[] = [];
  for (const name in numbers) {
    names[numbers[name]] = name;
  }
  return names;
}

/**
 * The name that `names` has for `number`.
 * @throws UnknownValueError naming `what` and the number
 */
export function nameOf<Name>(
  names: readonly (Name | undefined)[],
  number: number,
  what: string,
): Name {
  const name = names[number];
  if (name === undefined) {
    throw new UnknownValueError(`${what} ${number}`);
  }
  return name;
}
