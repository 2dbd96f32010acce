//! Lines for the host's log. Nothing to rely on: a host may drop lines.

import { Buffer } from "./columns";

export enum Level {
  Trace,
  Debug,
  Info,
  Warn,
  Error,
}

@external("millstream:udf/log@0.1.0", "write")
declare function write(level: i32, at: usize, size: usize): void;

export function log(level: Level, line: string): void {
  const text = Buffer.make(0);
  text.pushText(line);
  write(level, text.at, text.size);
}

/** For asc's `--use abort=`: the message of what is thrown goes to the log before the trap, which says only where. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  log(Level.Error, `${message ? message : "abort"} at ${file ? file : ""}:${line}:${column}`);
  unreachable();
}
