import { type CmdbLocation, DEFAULT_DATA_DIR } from '../../cmdb/location.ts';
import { ExitCode, UserError } from '../../common/exit-codes.ts';
import { JSON_SCHEMA, toJson } from '../../render/json.ts';
import { agentState } from '../doctor/agent-lock.ts';
import { chooseMode, helperPath, probeHelper } from '../doctor/probe.ts';
import { type CmdbState, type DoctorReport, renderDoctor } from '../doctor/report.ts';
import { type Io, paletteFor, write } from '../io.ts';
import { type CmdbArguments, cmdbOptions } from '../options.ts';
import { dataDirOf, locateCmdb, withReader } from '../session.ts';
import type { Argv } from '../yargs-types.ts';

export interface DoctorArguments extends CmdbArguments {
  readonly format: 'table' | 'json';
}

export function doctorOptions(yargs: Argv): Argv<DoctorArguments> {
  return cmdbOptions(yargs).option('format', {
    choices: ['table', 'json'] as const,
    default: 'table' as DoctorArguments['format'],
    requiresArg: true,
    describe: 'form of the answer',
  });
}

/**
 * `ttctl doctor`: what this host can do, and why not.
 * @returns 0 when it can watch in some mode, else 3; a CMDB out of reach is told but no failure
 */
export async function runDoctor(args: DoctorArguments, io: Io): Promise<number> {
  const location = locateCmdb(args, io);
  const dataDir = dataDirOf(args, io) ?? DEFAULT_DATA_DIR;
  const [helper, cmdb, agent] = await Promise.all([
    probeHelper(helperPath(io.env)),
    cmdbState(args, location, io),
    agentState(dataDir),
  ]);
  const report: DoctorReport = {
    helper,
    auto: chooseMode(helper),
    cmdb,
    agent: { ...agent, dataDir },
  };
  const text =
    args.format === 'json'
      ? toJson({ schema: JSON_SCHEMA, ...report })
      : renderDoctor(report, paletteFor(io));
  await write(io.stdout, text);
  return report.auto.mode === null ? ExitCode.unsupported : ExitCode.ok;
}

async function cmdbState(args: CmdbArguments, location: CmdbLocation, io: Io): Promise<CmdbState> {
  const where = locationText(location);
  try {
    await withReader(args, io, async (client) => client.query('SELECT 1'));
    return { ok: true, location: where, detail: `${where}, schema up to date` };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { ok: false, location: where, detail: error.message };
  }
}

function locationText(location: CmdbLocation): string {
  switch (location.kind) {
    case 'none':
      return 'none';
    case 'server':
      return location.display;
    case 'embedded':
      return `embedded in ${location.dataDir}`;
  }
}
