import { spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { temporaryDirectory } from './postgres.ts';
import { childrenOf, eventually } from './processes.ts';
import { ENDS_WITH_US } from './run.ts';

/** A port that nobody listens on now. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return address.port;
}

export interface NginxOptions {
  /** Values of `listen`. */
  readonly listen: readonly string[];
  /** `ADDRESS:PORT` of the server that is to answer, over a connection for each request. */
  readonly proxyTo?: string;
  /** Command that runs it: `['ip', 'netns', 'exec', NAME]`. */
  readonly wrapper?: readonly string[];
}

/**
 * A web server: a master as root, two workers as www-data; answers every path with `hello`, or has
 * another server answer.
 */
export interface Nginx {
  readonly masterPid: number;
  readonly workerPids: readonly number[];
  stop(): Promise<void>;
}

function configuration(prefix: string, { listen, proxyTo }: NginxOptions): string {
  const answer = proxyTo === undefined ? 'return 200 "hello\\n"' : `proxy_pass http://${proxyTo}`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off;
user www-data;
worker_processes 2;
pid ${prefix}/nginx.pid;
error_log ${prefix}/error.log;
events { worker_connections 512; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${prefix}/tmp/${name};`).join('\n  ')}
  # An idle connection stays open for as long as a test runs.
  client_header_timeout 600s;
  keepalive_timeout 600s;
  server {
    ${listen.map((value) => `listen ${value};`).join('\n    ')}
    location / { ${answer}; proxy_http_version 1.1; proxy_set_header Connection close; }
  }
}
`;
}

/** Starts nginx with a configuration of its own and waits until its workers run. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const { wrapper = [] } = options;
  const prefix = await temporaryDirectory();
  await mkdir(join(prefix, 'tmp'));
  const file = join(prefix, 'nginx.conf');
  await writeFile(file, configuration(prefix, options));
  const argv = [
    ...wrapper,
    ...ENDS_WITH_US,
    'nginx',
    '-p',
    prefix,
    '-c',
    file,
    '-e',
    join(prefix, 'error.log'),
  ];
  const [command = '', ...rest] = argv;
  const child = spawn(command, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => resolve());
  });
  ended.catch(() => undefined); // told below
  const { pid } = child;
  if (pid === undefined) return ended.then(() => Promise.reject(new Error('nginx: no pid')));
  // `ip netns exec` executes the command in its own place, so the pid is nginx's.
  const workerPids = await eventually(
    () => {
      if (child.exitCode !== null) throw new Error(`nginx ended: ${stderr}`);
      const workers = childrenOf(pid);
      return workers.length === 2 && workers;
    },
    { what: 'two workers of nginx' },
  );
  return {
    masterPid: pid,
    workerPids,
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await ended;
      clearTimeout(timer);
      await rm(prefix, { recursive: true, force: true });
    },
  };
}
