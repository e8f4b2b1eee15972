/** A figure over the rounds of one run. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Median, least and greatest of some numbers; undefined of none. */
export function spread(values: readonly number[]): Spread | undefined {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  const [below, above] = [
    sorted[Math.floor((sorted.length - 1) / 2)],
    sorted[Math.ceil((sorted.length - 1) / 2)],
  ];
  if (min === undefined || max === undefined || below === undefined || above === undefined) {
    return undefined;
  }
  return { median: rounded((below + above) / 2), min: rounded(min), max: rounded(max) };
}

/** Four significant digits: what a measurement can be worth. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
