import { ExitCode, UserError } from '../common/exit-codes.ts';
import { baseParser, parseWith, type Request } from './cli-parser.ts';
import { depsOptions, runDeps } from './commands/deps.ts';
import { diffOptions, runDiff } from './commands/diff.ts';
import { doctorOptions, runDoctor } from './commands/doctor.ts';
import { flowsOptions, runFlows } from './commands/flows.ts';
import { impactOptions, runImpact } from './commands/impact.ts';
import { initOptions, runInit } from './commands/init.ts';
import {
  listenersOptions,
  listOptions,
  runCoverage,
  runHosts,
  runListeners,
} from './commands/lists.ts';
import { pathOptions, runPath } from './commands/path.ts';
import { pruneOptions, runPrune } from './commands/prune.ts';
import { retireOptions, runRetire } from './commands/retire.ts';
import { runWatch, watchOptions } from './commands/watch.ts';
import type { Io } from './io.ts';
import { isPaperForm, parsePaperForm } from './paper-form.ts';
import type { Argv } from './yargs-types.ts';

/** Checked here too: yargs would tell of every word of an unknown command, as of stray arguments. */
const COMMANDS: readonly string[] =
  'deps impact path diff retire flows hosts listeners coverage watch init prune doctor completion'.split(
    ' ',
  );

type Select = (run: (io: Io) => Promise<number>) => void;

/**
 * Reads a command line.
 * @param version printed by `--version`
 * @throws UserError (usage), one line
 */
export async function parseCommandLine(argv: readonly string[], version: string): Promise<Request> {
  if (isPaperForm(argv)) return parsePaperForm(argv, version);
  const [first] = argv;
  if (first !== undefined && !first.startsWith('-') && !COMMANDS.includes(first)) {
    throw new UserError(
      ExitCode.usage,
      `unknown command ${JSON.stringify(first)}; there are ${COMMANDS.join(', ')}`,
    );
  }
  let selected: Request | undefined;
  const parser = commands(baseParser(version), (run) => {
    selected = { kind: 'run', run };
  });
  const text = await parseWith(parser, argv);
  if (text !== '') return { kind: 'print', text: `${text}\n` };
  if (selected !== undefined) return selected;
  if (argv.includes('--get-yargs-completions')) return { kind: 'print', text: '' };
  throw new UserError(ExitCode.usage, 'name a command; ttctl --help lists them');
}

function commands(yargs: Argv, select: Select): Argv {
  return yargs
    .usage('ttctl COMMAND: which processes depend on which')
    .command('deps [target]', 'who depends on TARGET, and what it depends on', depsOptions, (a) =>
      select((io) => runDeps(a, io)),
    )
    .command('impact [target]', 'everything that depends on TARGET', impactOptions, (a) =>
      select((io) => runImpact(a, io)),
    )
    .command('path [from] [to]', 'how FROM comes to depend on TO', pathOptions, (a) =>
      select((io) => runPath(a, io)),
    )
    .command('diff', 'what changed between two ranges', diffOptions, (a) =>
      select((io) => runDiff(a, io)),
    )
    .command('retire [target]', 'whether TARGET can be switched off', retireOptions, (a) =>
      select((io) => runRetire(a, io)),
    )
    .command('flows', 'every dependency known in the range', flowsOptions, (a) =>
      select((io) => runFlows(a, io)),
    )
    .command('hosts', 'hosts that reported, and how well they were watched', listOptions, (a) =>
      select((io) => runHosts(a, io)),
    )
    .command('listeners', 'who listens where, and who is used', listenersOptions, (a) =>
      select((io) => runListeners(a, io)),
    )
    .command('coverage', 'what was watched, and what is known to be missed', listOptions, (a) =>
      select((io) => runCoverage(a, io)),
    )
    .command('watch', 'dependencies as they appear and are used', watchOptions, (a) =>
      select((io) => runWatch(a, io)),
    )
    .command('init', "create the CMDB's schema, or bring it up to date", initOptions, (a) =>
      select((io) => runInit(a, io)),
    )
    .command('prune', 'remove what is older than a time, or a host', pruneOptions, (a) =>
      select((io) => runPrune(a, io)),
    )
    .command('doctor', 'what this host can do, and why not', doctorOptions, (a) =>
      select((io) => runDoctor(a, io)),
    )
    .completion('completion', 'print a completion script for the shell')
    .demandCommand(1, 'name a command')
    .epilogue(
      "The paper's form works too: ttctl --dbhost H --dbname D --dbuser U --ipv4 ADDR [--port N]",
    );
}
