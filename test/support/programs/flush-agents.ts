/**
 * Agents as far as the CMDB sees them: each flushes over a connection of its own, and tries again
 * until it is told that a flush is written. `run FROM TO CONFIG` (base64url of JSON): ok WRITTEN RETRIED.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { Backoff } from '../../../src/agent/backoff.ts';
import type { CmdbConfig } from '../../../src/cmdb/connection.ts';
import { CmdbUnavailable } from '../../../src/cmdb/errors.ts';
import { CmdbWriter } from '../../../src/cmdb/writer.ts';
import { flushOf, ROUNDS } from '../rollover.ts';
import { serveCommands } from './commands.ts';

async function flushAll(config: CmdbConfig, agent: number): Promise<{ retried: number }> {
  const writer = new CmdbWriter({ config, log: pino({ enabled: false }) });
  const backoff = new Backoff();
  let retried = 0;
  const write = async (round: number): Promise<void> => {
    for (;;) {
      try {
        await writer.write(flushOf(agent, round));
        backoff.succeeded();
        return;
      } catch (error) {
        if (!(error instanceof CmdbUnavailable)) throw error;
        retried += 1;
        await sleep(backoff.failed(50));
      }
    }
  };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await write(round);
      // As after an answer that was lost.
      if ((agent + round) % 4 === 0) await write(round);
    }
  } finally {
    await writer.close();
  }
  return { retried };
}

await serveCommands({
  run: async ([from, to, encoded = '']) => {
    const config = JSON.parse(Buffer.from(encoded, 'base64url').toString()) as CmdbConfig;
    const agents = Array.from(
      { length: Number(to) - Number(from) + 1 },
      (_, n) => Number(from) + n,
    );
    const done = await Promise.all(agents.map((agent) => flushAll(config, agent)));
    return [done.length, done.reduce((sum, { retried }) => sum + retried, 0)];
  },
});
