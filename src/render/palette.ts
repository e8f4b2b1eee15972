/** Wraps text in what makes a terminal show it so, or leaves it alone. */
export interface Palette {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly alarm: (text: string) => string;
}

const sgr =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;

const plain = (text: string): string => text;

export const PLAIN: Palette = { bold: plain, dim: plain, alarm: plain };

export const COLOURS: Palette = { bold: sgr(1), dim: sgr(2), alarm: sgr(31) };
