import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '../../test/support/postgres.ts';
import { eventually } from '../../test/support/processes.ts';
import { ENDS_WITH_US, run, runOk } from '../../test/support/run.ts';
import { Cgroup } from './cgroup.ts';

export const SERVER_ADDRESS = '10.99.0.1';
const CLIENT_ADDRESS = '10.99.0.2';
export const SERVER_PORT = 8080;
/** Local addresses that the client may rotate through; bench-load counts from 10.98.0.1. */
const CLIENT_NETWORK = '10.98.0.0/16';

/** Server and tracer share one core, so that the tracer's cost shows in the server's figures. */
export const SERVER_CORE = 0;
export const CLIENT_CORE = 1;

/** The file that nginx serves is as long as its own welcome page. */
const BODY_BYTES = 612;
const FILE_LIMIT = 20_000;

/** Names of the hosts: the bench's pid follows, a number, and which one it is. */
export const HOST_PREFIX = 'tt-bench-';

let made = 0;

/** Two hosts, as network namespaces joined by a veth pair, with nginx on one of them. */
export class World {
  readonly server: string;
  readonly client: string;
  readonly groups = { server: new Cgroup('server'), client: new Cgroup('client') };
  readonly #directory: string;
  #nginx: ChildProcess | undefined;

  private constructor(directory: string) {
    made += 1;
    this.#directory = directory;
    this.server = `${HOST_PREFIX}${process.pid}-${made}-s`;
    this.client = `${HOST_PREFIX}${process.pid}-${made}-c`;
  }

  /** A new world for every measurement: no TIME_WAIT socket, no conntrack entry of the one before. */
  static async create(): Promise<World> {
    const world = new World(await temporaryDirectory());
    try {
      await world.#link();
      await world.#startNginx();
    } catch (error) {
      await world.destroy();
      throw error;
    }
    return world;
  }

  /** Command that runs what follows on one of the hosts, on its core; same pid. */
  on(side: 'server' | 'client', group: Cgroup): readonly string[] {
    const core = side === 'server' ? SERVER_CORE : CLIENT_CORE;
    return [...group.wrapper, ...this.inside(side), 'taskset', '-c', String(core)];
  }

  /** nsenter and not `ip netns exec`, which would hide the mounts below /sys. */
  inside(side: 'server' | 'client'): readonly string[] {
    return ['nsenter', `--net=/run/netns/${this[side]}`];
  }

  /** Counters of nginx: requests answered since its start, connections open now. */
  async status(): Promise<{ readonly requests: number; readonly open: number }> {
    const url = `http://127.0.0.1:${SERVER_PORT}/status`;
    const text = await runOk('nsenter', [`--net=/run/netns/${this.server}`, 'curl', '-s', url]);
    const requests = /^ *\d+ \d+ (\d+)/m.exec(text)?.[1];
    const open = /connections: (\d+)/.exec(text)?.[1];
    return { requests: Number(requests), open: Number(open) };
  }

  async destroy(): Promise<void> {
    const nginx = this.#nginx;
    if (nginx && nginx.exitCode === null) {
      const ended = new Promise((resolve) => nginx.once('close', resolve));
      nginx.kill('SIGTERM');
      await ended;
    }
    await run('ip', ['netns', 'delete', this.client]);
    await run('ip', ['netns', 'delete', this.server]);
    await rm(this.#directory, { recursive: true, force: true });
    for (const group of Object.values(this.groups)) await group.remove();
  }

  async #link(): Promise<void> {
    const { server, client } = this;
    for (const name of [server, client]) {
      await runOk('ip', ['netns', 'add', name]);
      await runOk('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    }
    const peer = ['peer', 'name', 'eth0', 'netns', client];
    await runOk('ip', ['-n', server, 'link', 'add', 'eth0', 'type', 'veth', ...peer]);
    await runOk('ip', ['-n', server, 'addr', 'add', `${SERVER_ADDRESS}/24`, 'dev', 'eth0']);
    await runOk('ip', ['-n', client, 'addr', 'add', `${CLIENT_ADDRESS}/24`, 'dev', 'eth0']);
    await runOk('ip', ['-n', server, 'link', 'set', 'eth0', 'up']);
    await runOk('ip', ['-n', client, 'link', 'set', 'eth0', 'up']);
    await runOk('ip', ['-n', server, 'route', 'add', CLIENT_NETWORK, 'via', CLIENT_ADDRESS]);
    await runOk('ip', ['-n', client, 'route', 'add', 'local', CLIENT_NETWORK, 'dev', 'lo']);
    for (const side of ['server', 'client'] as const) {
      const settings = ['net.ipv4.ip_local_port_range=1024 65535', 'net.core.somaxconn=16384'];
      await runOk('nsenter', [`--net=/run/netns/${this[side]}`, 'sysctl', '-qw', ...settings]);
    }
  }

  async #startNginx(): Promise<void> {
    const file = join(this.#directory, 'nginx.conf');
    await mkdir(join(this.#directory, 'tmp'));
    await writeFile(join(this.#directory, 'index.html'), 'x'.repeat(BODY_BYTES));
    await writeFile(file, this.#configuration());
    const argv = [...this.on('server', this.groups.server), ...ENDS_WITH_US, 'nginx', '-c', file];
    const [command = '', ...rest] = argv;
    this.#nginx = spawn(command, [...rest, '-e', join(this.#directory, 'error.log')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await eventually(
      () =>
        this.status().then(
          ({ open }) => open > 0,
          () => false,
        ),
      {
        what: 'nginx',
      },
    );
  }

  #configuration(): string {
    const directory = this.#directory;
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    return `
daemon off;
user www-data;
worker_processes 2;
worker_rlimit_nofile ${FILE_LIMIT};
pid ${directory}/nginx.pid;
events { worker_connections ${FILE_LIMIT - 50}; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${directory}/tmp/${name};`).join('\n  ')}
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  open_file_cache max=10;
  server {
    listen ${SERVER_PORT} backlog=16384;
    root ${directory};
    location = /status { stub_status; }
  }
}
`;
  }
}
