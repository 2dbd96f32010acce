// Processors and what fires for them: a record or a timer at a time, with the stores and timers of the call. Not the stores.

import { Call } from "./call.js";
import { outputOf, resultsOf } from "./output.js";
import { Timer } from "./records.js";

/** Handles records until they are all dealt with, a timer that was set is due before the next one, or the call has `bytesMax` bytes:
 * the contract's `output`. `host`: what a Call needs. */
export function process(processor, records, host, bytesMax) {
  const call = new Call(host);
  const stops = (record) => call.isForNext(record.timestamp);
  return outputOf(records, (record) => resultsOf(processor(record, call), record), { call, stops, bytesMax });
}

/** Handles timers of one clock that are due, as records: their keys, their names as values, their times. Values are given, whatever
 * the results have. */
export function fire(onTimer, clock, records, host, bytesMax) {
  const call = new Call(host);
  const answers = (record) => {
    const timer = new Timer(clock, record);
    return resultsOf(onTimer(timer, call), timer);
  };
  return outputOf(records, answers, { call, values: true, bytesMax });
}
