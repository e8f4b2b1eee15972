/** A line of a chart: `y` at each `x`. */
export interface Series {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface ChartOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
}

const [WIDTH, HEIGHT] = [720, 360];
const MARGIN = { left: 64, right: 150, top: 40, bottom: 48 } as const;
/** Okabe and Ito's palette: told apart by the colour-blind as well. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'];
const TICKS = 5;

/** A line chart as SVG, from zero on both axes. */
export function lineChart(series: readonly Series[], options: ChartOptions): string {
  const points = series.flatMap((one) => one.points);
  const [xMax, yMax] = [niceMax(points.map(({ x }) => x)), niceMax(points.map(({ y }) => y))];
  const plot = {
    width: WIDTH - MARGIN.left - MARGIN.right,
    height: HEIGHT - MARGIN.top - MARGIN.bottom,
  };
  const xOf = (x: number) => round(MARGIN.left + (x / xMax) * plot.width);
  const yOf = (y: number) => round(MARGIN.top + plot.height - (y / yMax) * plot.height);
  const parts = [
    text(WIDTH / 2, 22, options.title, 'middle', 15),
    ...ticks(yMax).map(
      (y) =>
        `<line x1="${xOf(0)}" x2="${xOf(xMax)}" y1="${yOf(y)}" y2="${yOf(y)}" stroke="#ddd"/>` +
        text(xOf(0) - 8, yOf(y) + 4, label(y), 'end'),
    ),
    ...ticks(xMax).map((x) => text(xOf(x), yOf(0) + 18, label(x), 'middle')),
    text(xOf(xMax / 2), HEIGHT - 8, options.xLabel, 'middle'),
    `<g transform="rotate(-90 16 ${yOf(yMax / 2)})">${text(16, yOf(yMax / 2), options.yLabel, 'middle')}</g>`,
    ...series.flatMap((one, index) => line(one, index, xOf, yOf)),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<title>${escaped(options.title)}</title>
<rect width="100%" height="100%" fill="white"/>
${parts.join('\n')}
</svg>
`;
}

function line(
  { name, points }: Series,
  index: number,
  xOf: (x: number) => number,
  yOf: (y: number) => number,
): string[] {
  const colour = COLOURS[index % COLOURS.length] ?? 'black';
  const sorted = points.toSorted((a, b) => a.x - b.x);
  const path = sorted.map(({ x, y }) => `${xOf(x)},${yOf(y)}`).join(' ');
  const legendY = MARGIN.top + 8 + index * 20;
  const legendX = WIDTH - MARGIN.right + 16;
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...sorted.map(({ x, y }) => `<circle cx="${xOf(x)}" cy="${yOf(y)}" r="3.5" fill="${colour}"/>`),
    `<rect x="${legendX}" y="${legendY}" width="12" height="12" fill="${colour}"/>`,
    text(legendX + 18, legendY + 10, name),
  ];
}

function text(x: number, y: number, content: string, anchor = 'start', size = 12): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}" fill="#222">${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

/** The least of 1, 2, 2.5 or 5 times a power of ten that holds all. */
function niceMax(values: readonly number[]): number {
  const max = Math.max(...values, Number.MIN_VALUE);
  const power = 10 ** Math.floor(Math.log10(max));
  return power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= max) ?? 10);
}

function ticks(max: number): number[] {
  return Array.from({ length: TICKS + 1 }, (_, index) => (max / TICKS) * index);
}

function label(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en-US');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
