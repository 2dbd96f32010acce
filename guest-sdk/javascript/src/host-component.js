// The host of a component. What is printed goes to its log.

import * as context from "millstream:udf/context@0.1.0";
import * as log from "millstream:udf/log@0.1.0";

export const host = {
  write: (level, message) => log.write(level, message),
  headers: () => context.headers() ?? null,
  streamTimes: () => context.streamTimes(),
  windows: () => context.windows() ?? null,
  inputs: () => context.inputs() ?? null,
};

const line = (level) => (...parts) => host.write(level, parts.map(String).join(" "));
globalThis.console = { debug: line("debug"), log: line("info"), info: line("info"), warn: line("warn"), error: line("error") };
