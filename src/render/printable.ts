/**
 * Characters that drive a terminal or hide in text: C0 and C1 controls, line and paragraph
 * separators, bidirectional marks and overrides, zero-width and tag characters, lone surrogates.
 */
const UNPRINTABLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it finds
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\ud800-\udfff]/gu;

/**
 * Makes text of unknown origin (process names, host names, notes) safe to show: characters that
 * can't be seen, or that a terminal would obey, become `\xNN` or `\u{NNNN}`.
 */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    return code < 0x100 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`;
  });
}

/** Like `printable`, for use between single quotes. */
export function quoted(text: string): string {
  return `'${printable(text.replaceAll(/['\\]/g, (character) => `\\${character}`))}'`;
}

/** JSON text in which unprintable characters stand escaped: terminals obey C1 controls too. */
export function printableJson(json: string): string {
  return json.replaceAll(UNPRINTABLE, (character) =>
    character === '\n'
      ? character
      : [...Array(character.length).keys()]
          .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
          .join(''),
  );
}
