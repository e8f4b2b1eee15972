import { ExitCode } from '../../common/exit-codes.ts';
import { queryFlows } from '../../query/deps.ts';
import { parseRange } from '../../query/range.ts';
import { renderFlowTree } from '../../render/flow-tree.ts';
import { renderGraph } from '../../render/graph-format.ts';
import { type Io, paletteFor, write } from '../io.ts';
import {
  type CmdbArguments,
  cmdbOptions,
  type GraphFormat,
  graphFormatOption,
  type RangeArguments,
  rangeOptions,
} from '../options.ts';
import { withReader } from '../session.ts';
import type { Argv } from '../yargs-types.ts';

export interface FlowsArguments extends CmdbArguments, RangeArguments {
  readonly format: GraphFormat;
}

export function flowsOptions(yargs: Argv): Argv<FlowsArguments> {
  return graphFormatOption(rangeOptions(cmdbOptions(yargs)));
}

/** `ttctl flows`: every edge of the range. */
export async function runFlows(args: FlowsArguments, io: Io): Promise<number> {
  const now = io.now();
  const range = parseRange(args.since, args.until, now);
  const graph = await withReader(args, io, (client) => queryFlows(client, range));
  const text =
    args.format === 'tree'
      ? renderFlowTree(graph, { depth: 1, port: null, now, palette: paletteFor(io) })
      : renderGraph(graph, args.format);
  await write(io.stdout, text);
  return ExitCode.ok;
}
