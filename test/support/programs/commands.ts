import { createInterface } from 'node:readline';

/** Carries out a command; the numbers are the answer. */
export type Command = (words: readonly string[]) => Promise<readonly number[]> | readonly number[];

/**
 * Reads commands from stdin, a line each, and answers as tcp-actor does: `ok [NUMBER]...` or
 * `error WHY`, in the order of the commands. The program ends with its stdin.
 */
export async function serveCommands(commands: Readonly<Record<string, Command>>): Promise<void> {
  for await (const line of createInterface(process.stdin)) {
    const [name = '', ...words] = line.split(' ');
    try {
      const command = commands[name];
      if (command === undefined) throw new Error(`no command '${name}'`);
      process.stdout.write(`${['ok', ...(await command(words))].join(' ')}\n`);
    } catch (error) {
      process.stdout.write(`error ${String(error).replaceAll('\n', ' ')}\n`);
    }
  }
  process.exit(0);
}
