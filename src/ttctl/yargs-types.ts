// biome-ignore lint/correctness/noUnresolvedImports: declared in @types/yargs, where Biome doesn't look
import type { Argv as YargsArgv } from 'yargs';

/** A command line being described; `T` is what is known of its arguments. */
export type Argv<T = object> = YargsArgv<T>;
