import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type CopyValue, copyChunks, copyRow } from '../../../src/cmdb/copy-text.ts';

/** Reads COPY text as the PostgreSQL manual describes it, written without a look at the encoder. */
function decode(text: string): (string | null)[][] {
  const rows: (string | null)[][] = [];
  let row: (string | null)[] = [];
  let field = '';
  let isNull = false;
  const endField = () => {
    row.push(isNull ? null : field);
    field = '';
    isNull = false;
  };
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === '\t') endField();
    else if (char === '\n') {
      endField();
      rows.push(row);
      row = [];
    } else if (char === '\\') {
      at++;
      const next = text[at] ?? '';
      if (next === 'N') isNull = true;
      else field += { t: '\t', n: '\n', r: '\r', '\\': '\\' }[next] ?? assert.fail(`\\${next}`);
    } else field += char;
  }
  assert.equal(row.length, 0, 'text ends in the middle of a row');
  return rows;
}

/** What PostgreSQL would store of a string: no NUL, and UTF-8 as it crosses the socket. */
function stored(text: string): string {
  return Buffer.from(text.replaceAll('\0', '')).toString();
}

const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom('\\', '\t', '\n', '\r', '\0', 'N', '.', 'é', '\ud800', '\udc00'),
  }),
);

describe('COPY text', () => {
  it('round-trips any strings and nulls', () => {
    const values = fc.oneof(hostile, fc.constant(null));
    fc.assert(
      fc.property(
        fc.array(fc.array(values, { minLength: 1, maxLength: 5 }), { maxLength: 8 }),
        (rows) => {
          const text = Buffer.from(rows.map(copyRow).join('')).toString();
          const expected = rows.map((row) => row.map((v) => (v === null ? null : stored(v))));
          assert.deepEqual(decode(text), expected);
        },
      ),
    );
  });

  it('never writes the end marker or a raw control character', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const row = copyRow([text]);
        assert.notEqual(row, '\\.\n');
        assert.doesNotMatch(row.slice(0, -1), /[\0\t\n\r]/);
      }),
    );
  });

  it('writes numbers, bigints, booleans and times as PostgreSQL reads them', () => {
    const row: CopyValue[] = [1, -9223372036854775808n, true, false, new Date(0), null];
    const text = '1\t-9223372036854775808\tt\tf\t1970-01-01T00:00:00.000Z\t\\N\n';
    assert.equal(copyRow(row), text);
  });

  it('refuses what is no integer and no time', () => {
    for (const value of [
      0.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      2 ** 53,
      new Date(Number.NaN),
    ]) {
      assert.throws(() => copyRow([value]), RangeError);
    }
  });

  it('cuts only between rows', () => {
    fc.assert(
      fc.property(fc.array(hostile), fc.integer({ min: 1, max: 50 }), (texts, length) => {
        const rows = texts.map((text) => [text]);
        const pieces = [...copyChunks(rows, length)];
        assert.equal(pieces.join(''), rows.map(copyRow).join(''));
        for (const piece of pieces) assert.ok(piece.endsWith('\n'));
      }),
    );
  });
});
