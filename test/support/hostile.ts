import assert from 'node:assert/strict';

/** Names that try to be something else: SQL, terminal commands, formulas, markup, other lines. */
export const HOSTILE_NAMES: readonly string[] = [
  `'; DROP TABLE flows; --`,
  `x' OR '1'='1`,
  `$1 $$ \\' E'\\x27' %s %n`,
  `\\"; DELETE FROM hosts; \\`,
  `line\nbreak\r\n# web-1: watched 1d of 1d`,
  `\u001b[2J\u001b]0;owned\u0007\u009b31m`,
  `=HYPERLINK("http://x","y")`,
  `+1-2`,
  `-2+3|cmd' /C calc'!A0`,
  `@SUM(1)`,
  `\t=1+1`,
  `\u202egnp.exe\u2066\u200b\ufeff`,
  `"];\nn0 -> n1; x [label="`,
  `end"]-->|<img src=x onerror=alert(1)>| A\`\``,
  `</script><script>alert(1)</script>`,
  `{"schema":2}`,
  `\u0000nul\u0000`,
  `\ud800 lone \udfff`,
  `\u{e0041}\u{e0042}`,
  `_%\\_%`,
  'é'.repeat(2_048),
  'n'.repeat(4_096),
];

/** Nothing that drives a terminal, reorders text or hides in it. */
const UNSAFE =
  /[^\P{C}\n]|[\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/u;

/** Fails unless output of any format may go to a terminal. */
export function assertSafeText(text: string, what: string): void {
  const unsafe = UNSAFE.exec(text.replaceAll('\r\n', '\n'));
  const shown =
    unsafe && JSON.stringify(text.slice(Math.max(0, unsafe.index - 40), unsafe.index + 9));
  assert.equal(shown, null, `${what} has an unsafe character`);
}

/** Cells of RFC 4180 text; fails on text that is none. */
export function parseCsv(text: string): string[][] {
  return text
    .split('\r\n')
    .slice(0, -1)
    .map((line) => {
      assert.match(line, /^(?:"(?:[^"]|"")*"|[^",]*)(?:,(?:"(?:[^"]|"")*"|[^",]*))*$/);
      return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))/g)].map(
        ([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare ?? '',
      );
    });
}

/** Fails when a spreadsheet would run a cell, or rows differ in length. */
export function assertSafeCsv(text: string): void {
  const rows = parseCsv(text);
  assert.equal(new Set(rows.map((row) => row.length)).size, 1, 'rows differ in length');
  for (const cell of rows.flat()) assert.doesNotMatch(cell, /^[=+\-@\t\r]/);
}

/** Fails when a name broke out of its label. */
export function assertSafeDiagram(text: string, format: 'dot' | 'mermaid'): void {
  const lines = text.trimEnd().split('\n');
  const known =
    format === 'dot'
      ? /^(?:digraph transtracer \{|\}| {2}rankdir=LR;| {2}node \[shape=box\];| {2}n\d+(?: -> n\d+)? \[label="(?:[^"\\]|\\.)*"(?:, style=\w+)?(?:, color=red)?\];)$/u
      : /^(?:flowchart LR| {2}n\d+\["(?:[\w .:/@;#-]|<br\/>)*"\]| {2}n\d+ -?-\.?->\|"[\w .:/@;#-]*"\| n\d+)$/;
  for (const line of lines) assert.match(line, known);
}
