import { StringDecoder } from 'node:string_decoder';

/** A longer line is cut: a helper gone wild must not fill our memory. */
const MAX_LINE_LENGTH = 4096;

/** Splits a byte stream into lines of UTF-8 text; empty lines are left out. */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #partial = '';

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    const lines = (this.#partial + this.#decoder.write(chunk)).split('\n');
    this.#partial = (lines.pop() ?? '').slice(0, MAX_LINE_LENGTH);
    for (const line of lines) {
      this.#emit(line);
    }
  }

  end(): void {
    this.#emit(this.#partial + this.#decoder.end());
    this.#partial = '';
  }

  #emit(line: string): void {
    const text = line.trimEnd().slice(0, MAX_LINE_LENGTH);
    if (text !== '') {
      this.#onLine(text);
    }
  }
}
