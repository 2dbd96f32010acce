// The host of a component. What is printed goes to its log, and random numbers are the same in each call, whatever the engine.

import * as context from "millstream:udf/context@0.1.0";
import * as log from "millstream:udf/log@0.1.0";

let random;

export const host = {
  /** A call begins. */
  begin() {
    random = 0x2545f491;
  },
  write: (level, message) => log.write(level, message),
  headers: () => context.headers() ?? null,
  streamTimes: () => context.streamTimes(),
  windows: () => context.windows() ?? null,
  inputs: () => context.inputs() ?? null,
};

const line = (level) => (...parts) => host.write(level, parts.map(String).join(" "));
globalThis.console = { debug: line("debug"), log: line("info"), info: line("info"), warn: line("warn"), error: line("error") };

// An engine's own would go on from call to call, from a seed that was taken when the component was built.
host.begin();
Math.random = () => {
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  return (random >>> 0) / 2 ** 32;
};
