/**
 * `make run`: starts ttracerd on its embedded CMDB, and shows the dependencies of this host as soon
 * as there are any and whenever they change, until Ctrl-C. Exits 0 then, else as ttracerd did.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FLUSH_INTERVAL_MS = 2_000;
const READY_LIMIT_MS = 90_000;
const STOP_LIMIT_MS = 8_000;
const PARENT_CHECK_MS = 1_000;
/** pino's number for a warning. */
const WARN_LEVEL = 40;

const isRoot = process.geteuid?.() === 0;
const say = (text) => process.stdout.write(`${text}\n`);

function dataDirectory() {
  if (isRoot) {
    return '/var/lib/transtracer';
  }
  const state = process.env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state');
  return join(state, 'transtracer');
}

/** A TCP port something listens on at 127.0.0.1 or anywhere, null if there is none. */
function listeningPort() {
  const LISTEN = '0A';
  const ANY_OR_LOOPBACK = /^(?:00000000|0100007F)$/;
  const lines = existsSync('/proc/net/tcp')
    ? readFileSync('/proc/net/tcp', 'utf8').split('\n')
    : [];
  for (const line of lines) {
    const [, local, , state] = line.trim().split(/\s+/);
    const [address, port] = local?.split(':') ?? [];
    if (state === LISTEN && ANY_OR_LOOPBACK.test(address)) {
      return Number.parseInt(port, 16);
    }
  }
  return null;
}

function quietHint() {
  const port = listeningPort();
  const example =
    port === null
      ? `node -e 'require("http").createServer((q, s) => s.end("hello\\n")).listen(8080, "127.0.0.1")' &
    curl http://127.0.0.1:8080/`
      : `curl -m 2 http://127.0.0.1:${port}/`;
  return `Nothing has connected yet. To see a dependency, say in another terminal:
    ${example}`;
}

/** Starts ttracerd so that it never outlives this process, where setpriv(1) is there to say so. */
function startAgent(dataDir) {
  const agent = [
    join(ROOT, 'bin', 'ttracerd'),
    ...['--cmdb', 'embedded', '--data-dir', dataDir],
    ...['--flush-interval', `${FLUSH_INTERVAL_MS}ms`, '--no-pin'],
  ];
  const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find(existsSync);
  const [command, ...args] = setpriv ? [setpriv, '--pdeathsig', 'TERM', ...agent] : agent;
  return spawn(command, args, { stdio: ['ignore', 'inherit', 'pipe'] });
}

/** Shows what the agent has to say to people; resolves with its "ready" line. */
function followLog(stderr) {
  return new Promise((resolve) => {
    createInterface({ input: stderr }).on('line', (line) => {
      const entry = parseLogLine(line);
      if (entry === null) {
        say(line);
      } else if (entry.msg === 'ready') {
        resolve(entry);
      } else if (entry.level >= WARN_LEVEL) {
        say(`ttracerd: ${entry.msg}${entry.err?.message ? `: ${entry.err.message}` : ''}`);
      }
    });
  });
}

function parseLogLine(line) {
  try {
    const entry = JSON.parse(line);
    return typeof entry === 'object' ? entry : null;
  } catch {
    // Not every line is a log entry: a usage error is plain text.
    return null;
  }
}

/** One answer of ttctl: its text, or null when nothing is known of this host yet. */
function askTree(dataDir, since, signal) {
  const args = ['deps', `host:${hostname()}`, '--data-dir', dataDir, '--since', since];
  return new Promise((resolve) => {
    execFile(join(ROOT, 'bin', 'ttctl'), args, { signal }, (error, stdout, stderr) => {
      const noSuchTarget = error?.code === 1;
      if (error && !noSuchTarget && !signal.aborted) {
        say(`ttctl: ${stderr.trim() || error.message}`);
      }
      resolve(!error && /<--|-->/.test(stdout) ? stdout.trimEnd() : null);
    });
  });
}

async function showTrees(dataDir, since, signal) {
  let shown = null;
  let hinted = false;
  while (!signal.aborted) {
    const tree = await askTree(dataDir, since, signal);
    if (tree !== null && tree !== shown && !signal.aborted) {
      shown = tree;
      say(`\n${new Date().toLocaleTimeString('en-GB')}  dependencies of this host`);
      say(tree);
    } else if (tree === null && !hinted && !signal.aborted) {
      hinted = true;
      say(quietHint());
    }
    await sleep(FLUSH_INTERVAL_MS, undefined, { signal }).catch(() => 'stopped');
  }
}

/** Aborts at Ctrl-C, SIGTERM, SIGHUP, or when `make` has gone. */
function stopSignal() {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(name, () => stop.abort());
  }
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) {
      stop.abort();
    }
  }, PARENT_CHECK_MS).unref();
  return stop.signal;
}

async function main() {
  const signal = stopSignal();
  const since = new Date().toISOString();
  const dataDir = dataDirectory();
  const agent = startAgent(dataDir);
  const exited = new Promise((resolve) => {
    agent.on('error', (error) => {
      say(`can't start ttracerd: ${error.message}`);
      resolve(1);
    });
    agent.on('exit', (code) => resolve(code ?? 1));
  });
  const stopped = new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve('stopped'), { once: true });
  });

  say(`starting ttracerd; its data is in ${dataDir}`);
  const ready = await Promise.race([
    followLog(agent.stderr),
    exited,
    stopped,
    sleep(READY_LIMIT_MS, 'late', { ref: false }),
  ]);
  if (typeof ready === 'number') {
    return ready;
  }
  if (typeof ready === 'object') {
    const attach = ready.attach ? `, ${ready.attach}` : '';
    say(`ttracerd is ready (mode ${ready.mode}${attach}); Ctrl-C stops it`);
    const agentEnd = new AbortController();
    const until = AbortSignal.any([signal, agentEnd.signal]);
    agent.once('exit', () => agentEnd.abort());
    await showTrees(dataDir, since, until);
  } else if (ready === 'late') {
    say(`ttracerd was not ready within ${READY_LIMIT_MS / 1000} s`);
  }
  return stopAgent(agent, exited, signal.aborted);
}

async function stopAgent(agent, exited, wanted) {
  if (!wanted && agent.exitCode !== null) {
    return exited;
  }
  agent.kill('SIGTERM');
  const kill = setTimeout(() => agent.kill('SIGKILL'), STOP_LIMIT_MS);
  await exited;
  clearTimeout(kill);
  if (wanted) {
    say('stopped');
  }
  return wanted ? 0 : 1;
}

process.exitCode = await main();
process.exit();
