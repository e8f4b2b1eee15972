/** All that a user of the helper needs: start here. */
export { formatAddress } from './address.ts';
export type { BackoffOptions } from './backoff.ts';
export type { Clock } from './clock.ts';
export { FrameDecoder } from './decoder.ts';
export {
  AbiMismatchError,
  FrameError,
  HELPER_EXIT,
  HelperDownError,
  HelperExitError,
  HelperStartError,
  HelperTimeoutError,
} from './errors.ts';
export { isNoProgram } from './executable.ts';
export type {
  Direction,
  DoneFrame,
  FirstFrame,
  FlowCounts,
  FlowFrame,
  FlowKey,
  FoundBy,
  Frame,
  GenerationFrame,
  HelloFrame,
  Identity,
  ListenerFrame,
  ListenFrame,
  Rung,
  RungFrame,
  StatsFrame,
} from './frames.ts';
export type { Greeting } from './greeting.ts';
export type { Helper, HelperEnd, HelperOptions, RequestOptions } from './helper.ts';
export { HelperProcess } from './helper-process.ts';
export type { RequestKind } from './requests.ts';
export {
  HelperSupervisor,
  type SupervisorEvent,
  type SupervisorOptions,
  type SupervisorState,
} from './supervisor.ts';
