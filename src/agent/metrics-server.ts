import { createServer } from 'node:http';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import type { ListenAddress } from './listen-address.ts';

export interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly value: number | bigint;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface Health {
  readonly ok: boolean;
  readonly text: string;
}

/** The format knows these three escapes in label values, and in help all but the quote. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

/** Prometheus text exposition format, version 0.0.4; each name occurs once. */
export function exposition(metrics: readonly Metric[]): string {
  const lines = metrics.flatMap(({ name, type, help, value, labels = {} }) => {
    const pairs = Object.entries(labels).map(
      ([key, text]) => `${key}="${escaped(text).replaceAll('"', '\\"')}"`,
    );
    const full = pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
    return [`# HELP ${name} ${escaped(help)}`, `# TYPE ${name} ${type}`, `${full} ${value}`];
  });
  return `${lines.join('\n')}\n`;
}

/**
 * Serves `/metrics` and `/healthz`.
 * @returns what closes the server
 * @throws UserError (usage) when the address can't be listened on
 */
export async function serveMetrics(
  { host, port }: ListenAddress,
  metrics: () => readonly Metric[],
  health: () => Health,
): Promise<() => void> {
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string) =>
      response.writeHead(status, { 'content-type': type }).end(body);
    switch (request.url?.split('?')[0]) {
      case '/metrics':
        return answer(200, 'text/plain; version=0.0.4; charset=utf-8', exposition(metrics()));
      case '/healthz': {
        const { ok, text } = health();
        return answer(ok ? 200 : 503, 'text/plain; charset=utf-8', `${text}\n`);
      }
      default:
        return answer(404, 'text/plain; charset=utf-8', 'there are /metrics and /healthz\n');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.on('error', (error) => {
      const why = error.message;
      reject(
        new UserError(ExitCode.usage, `--listen: can't listen on ${host} port ${port}: ${why}`, {
          cause: error,
        }),
      );
    });
    server.listen({ host, port }, resolve);
  });
  server.unref();
  return () => {
    server.close();
    server.closeAllConnections();
  };
}
