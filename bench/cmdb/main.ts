/**
 * What questions cost at the size of a fleet, whether their answers are right, and what a flush costs
 * beside the original tool's statements. `QUICK=1` takes a tenth of the fleet only. Writes
 * bench/results/cmdb.json.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withClient } from '../../test/support/postgres.ts';
import { REPOSITORY } from '../../test/support/run.ts';
import { describeMachine } from '../machine.ts';
import { measureFlush, measureIngest } from './flush.ts';
import { loadFleet } from './load.ts';
import { askAll, sizes } from './questions.ts';
import { type BenchServer, SETTINGS, startServer } from './server.ts';

const isQuick = (process.env['QUICK'] ?? '') !== '';
const FLEETS = isQuick ? [100] : [100, 1_000];

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function measureFleet(server: BenchServer, hosts: number): Promise<object[]> {
  const config = await server.createDatabase(`fleet_${hosts}`);
  say(`${hosts} hosts: loading`);
  await loadFleet((use) => withClient(config, use), hosts);
  say(`${hosts} hosts: asking`);
  const condition = `${hosts} hosts`;
  const size = await sizes(config);
  const answers = await askAll(config, hosts, isQuick ? 5 : 15);
  return [
    { workload: 'size', condition, rounds: 1, ...size },
    ...answers.map((answer) => ({ ...answer, condition })),
  ];
}

const server = await startServer();
try {
  say('flushes');
  const rows: object[] = await measureFlush(server, isQuick ? 1_000 : 10_000, isQuick ? 3 : 5);
  rows.push(await measureIngest(server, isQuick ? 3 : 10));
  for (const hosts of FLEETS) rows.push(...(await measureFleet(server, hosts)));
  const machine = { ...(await describeMachine()), postgresql: server.version, ...SETTINGS };
  const directory = join(REPOSITORY, 'bench', 'results');
  await mkdir(directory, { recursive: true });
  const file = join(directory, 'cmdb.json');
  await writeFile(file, `${JSON.stringify({ machine, quick: isQuick, rows }, null, 2)}\n`);
  say(`written: ${file}`);
} finally {
  await server.stop();
}
