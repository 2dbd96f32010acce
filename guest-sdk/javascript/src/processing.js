// Processors and what fires for them: a record or a timer at a time, with the stores and timers of the call. Not the stores.

import { Call } from "./call.js";
import { outputOf } from "./output.js";
import { Timer } from "./records.js";

/** Handles records until they are all dealt with, a timer that was set is due before the next one, or the call has `bytesMax` bytes:
 * the contract's `output`. `host`: what a Call needs. */
export function process(processor, records, host, bytesMax) {
  const call = new Call(host);
  const stops = (record) => call.isForNext(record.timestamp);
  return outputOf(records, records, (record) => processor(record, call), { call, stops, bytesMax });
}

/** Handles timers of one clock that are due, as records: their keys, their names as values, their times. Values are given, whatever
 * the results have. */
export function fire(onTimer, clock, records, host, bytesMax) {
  const call = new Call(host);
  const timers = records.map((record) => new Timer(clock, record));
  return outputOf(records, timers, (timer) => onTimer(timer, call), { call, values: true, bytesMax });
}
