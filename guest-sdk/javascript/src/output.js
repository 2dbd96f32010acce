// What a function answers for records, one after the other, as the contract's `output`. Not the functions that answer.

import { column, headerColumns } from "./columns.js";
import { Record, SAME, Timer, refusing } from "./records.js";

/** Bytes of one call, of its results and of what it holds of stores and timers, after which it stops early; the host asks again with
 * the rest of the records. */
export const RESULT_BYTES_MAX = 8 << 20;

const OWN = Object.freeze({});

/** What an answer for one, a record or a timer, comes to: nothing, one result, or several. */
export function resultsOf(answer, one) {
  if (answer === null || answer === undefined) return [];
  // It would be a result with nothing new, and what it waits for would come when the call is over.
  if (typeof answer.then === "function") throw new TypeError("a function answers at once, not by a promise");
  const several = typeof answer[Symbol.iterator] === "function" ? [...answer] : [answer];
  return several.map((result) => (result instanceof Record || result instanceof Timer ? ownOf(result, one) : result));
}

function ownOf(result, one) {
  if (result !== one) throw new TypeError("a result is what was given, or an object with what is new");
  return OWN;
}

const size = (part) => part?.length ?? 0;

/**
 * Asks for one of `records` after the other, by `at`, until all are dealt with, or there are `bytesMax` bytes.
 * `call`: a processor's. `stops(record)`: the call ends before this one. `values`: they are written in any case.
 */
export function outputOf(records, answers, { call = null, stops = null, values = false, bytesMax = RESULT_BYTES_MAX } = {}) {
  const [results, owners, sources, rejected] = [[], [], [], []];
  let taken = 0;
  for (let bytes = 0; taken < records.length && bytes + (call?.bytes ?? 0) < bytesMax; taken++) {
    const [record, refused] = [records.at(taken), rejected.length];
    if (stops?.(record)) break;
    call?.begin();
    for (const result of refusing(rejected, taken, [], () => answers(record))) {
      results.push(result);
      owners.push(record);
      sources.push(taken);
      bytes += 8 + size(result.key) + size(result.value);
    }
    if (rejected.length > refused) call?.forget();
  }
  call?.end();
  return columnsOf({ results, owners, sources, taken, rejected, values });
}

/** A column is made only where a result differs from its record. */
function columnsOf({ results, owners, sources, taken, rejected, values }) {
  const part = (name, own, make, always = false) => {
    if (!always && results.every((result) => result[name] === SAME)) return null;
    return make(results.map((result, index) => (result[name] === SAME ? own(owners[index]) : result[name])));
  };
  const oneEach = rejected.length === 0 && sources.length === taken && sources.every((source, index) => source === index);
  return {
    taken,
    sources: oneEach ? null : new Uint32Array(sources),
    ports: results.some((result) => result.output) ? new Uint32Array(results.map((result) => result.output ?? 0)) : null,
    keys: part("key", (record) => record.key, column),
    values: part("value", (record) => record.value, column, values),
    timestamps: part("timestamp", (record) => record.time, (times) => new BigInt64Array(times.map(BigInt))),
    headers: part("headers", (record) => record.headers, headerColumns),
    rejected,
  };
}
