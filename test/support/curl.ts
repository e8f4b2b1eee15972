import { runOk } from './run.ts';

/** What curl says it sent and received, payload of TCP, summed up. */
export interface CurlTotals {
  readonly requests: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** Runs curl `count` times, each for one request over a connection of its own. */
export async function curlMany(
  url: string,
  count: number,
  wrapper: readonly string[] = [],
): Promise<CurlTotals> {
  const write = '%{http_code} %{size_request} %{size_header} %{size_download}\\n';
  const loop =
    'n=$1; while [ $n -gt 0 ]; do curl -gs -o /dev/null -w "$3" "$2"; n=$((n - 1)); done';
  const shell = ['sh', '-c', loop, 'sh', String(count), url, write];
  const [command = '', ...argv] = [...wrapper, ...shell];
  const output = await runOk(command, argv, { timeoutMs: 120_000 });
  const answers = output
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number))
    .filter(([status]) => status === 200);
  const sum = (at: number) => answers.reduce((total, numbers) => total + (numbers[at] ?? 0), 0);
  return { requests: answers.length, bytesSent: sum(1), bytesReceived: sum(2) + sum(3) };
}
