/**
 * PostgreSQL's COPY text format (PostgreSQL manual, "COPY", section "Text Format"): columns end
 * with a tab, rows with a newline, NULL is `\N`, and a backslash escapes what would be mistaken.
 */

/** A column value; `bigint` and `number` must be integers. */
export type CopyValue = string | number | bigint | boolean | Date | null;

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
};

/**
 * A string PostgreSQL can store: it knows no NUL. Half a surrogate pair needs no care here, it
 * leaves for the socket as U+FFFD.
 */
export function storableText(text: string): string {
  return text.replaceAll('\0', '');
}

/** Few texts hold any: to look is cheaper than to replace. */
const SPECIAL = /[\0\\\t\n\r]/;

function escaped(text: string): string {
  return storableText(text).replaceAll(/[\\\t\n\r]/g, (char) => ESCAPES[char] ?? char);
}

function copyField(value: CopyValue): string {
  switch (typeof value) {
    case 'string':
      return SPECIAL.test(value) ? escaped(value) : value;
    case 'boolean':
      return value ? 't' : 'f';
    case 'number':
      if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not an integer`);
      return String(value);
    case 'bigint':
      return String(value);
    default:
      return value === null ? '\\N' : value.toISOString();
  }
}

/** One row of COPY text, its newline included. */
export function copyRow(values: readonly CopyValue[]): string {
  let row = '';
  let separator = '';
  for (const value of values) {
    row += separator + copyField(value);
    separator = '\t';
  }
  return `${row}\n`;
}

/** Short enough that what a piece is made of is garbage before V8 takes it for old. */
const PIECE_LENGTH = 16_384;

/** COPY text of all rows in pieces of about `pieceLength` characters, for a stream. */
export function* copyChunks(
  rows: Iterable<readonly CopyValue[]>,
  pieceLength = PIECE_LENGTH,
): Generator<string> {
  let piece = '';
  for (const row of rows) {
    piece += copyRow(row);
    if (piece.length >= pieceLength) {
      yield piece;
      piece = '';
    }
  }
  if (piece !== '') yield piece;
}
