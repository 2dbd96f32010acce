// A record and a timer as a function sees them, and how it refuses one. Not the columns beneath.

import { column as columnOf, headersOf, itemOf, items } from "./columns.js";
import { text } from "./text.js";

/** Thrown for a record that the function will not handle: the pipeline's `on-error` decides its fate, and the other records
 * go on. Anything else that is thrown fails the whole call. */
export class Reject extends Error {}

/** Calls `call`; what it refuses is noted by its place, and gives `otherwise`. */
export function refusing(rejected, index, otherwise, call) {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof Reject)) throw error;
    rejected.push({ index, reason: error.message });
    return otherwise;
  }
}

/** In a result: as in its record. */
export const SAME = undefined;

/** What the host knows about the records of a call beside the records, fetched when it is first asked for, once a call. */
class Facts {
  constructor(host) {
    this.host = host;
    this.known = {};
  }

  get(name, index, missing) {
    if (!(name in this.known)) this.known[name] = this.host ? read[name](this.host) : null;
    return this.known[name]?.[index] ?? missing;
  }
}

const read = {
  headers(host) {
    const found = host.headers();
    return found && headersOf(found);
  },
  streamTimes: (host) => Array.from(host.streamTimes(), Number),
  windows(host) {
    const found = host.windows();
    return found && Array.from(found[0], (start, index) => ({ start: Number(start), end: Number(found[1][index]) }));
  },
  inputs: (host) => host.inputs(),
};

const nothing = new Facts(null);

/** A record; `Record.of({ value: "…" })` makes one for a test. */
export class Record {
  constructor(key, value, time, facts, index) {
    this.key = key;
    this.value = value;
    this.time = time;
    this.facts = facts;
    this.index = index;
  }

  static of({ key = null, value = null, timestamp = 0, headers = [], streamTime = 0, window = null, input = 0 } = {}) {
    const facts = new Facts(null);
    const [ownKey, ownValue] = items(columnOf([key, value]));
    facts.known = { headers: [headers], streamTimes: [streamTime], windows: [window], inputs: [input] };
    return new Record(ownKey, ownValue, BigInt(timestamp), facts, 0);
  }

  /** Event time, milliseconds since 1970. */
  get timestamp() {
    return Number(this.time);
  }

  /** The value as text; a value that is not there or not UTF-8 is refused. */
  get text() {
    if (this.value === null) throw new Reject("the record has no value");
    try {
      return text(this.value);
    } catch {
      throw new Reject("the value is not UTF-8");
    }
  }

  get headers() {
    return this.facts.get("headers", this.index, []);
  }

  header(name) {
    const found = this.headers.filter(([given]) => given === name);
    return found.length > 0 ? found[found.length - 1][1] : null;
  }

  get streamTime() {
    return this.facts.get("streamTimes", this.index, 0);
  }

  get window() {
    return this.facts.get("windows", this.index, null);
  }

  get input() {
    return this.facts.get("inputs", this.index, 0);
  }
}

/** A timer that is due. `record`: as the contract gives it, its name as value. */
export class Timer {
  constructor(clock, record) {
    this.clock = clock;
    this.key = record.key;
    this.name = text(record.value);
    this.due = record.timestamp;
  }
}

/** The records of the contract's `batch`. */
export function recordsOf({ keys, values, timestamps }, host = null) {
  const facts = host ? new Facts(host) : nothing;
  const [allKeys, allValues] = [items(keys), items(values)];
  return allValues.map((value, index) => new Record(allKeys[index], value, timestamps[index], facts, index));
}

/** The same, each made when it is asked for by `at`: a processor's call may end long before the last. */
export class Records {
  constructor(batch, host = null) {
    this.batch = batch;
    this.length = batch.timestamps.length;
    this.facts = host ? new Facts(host) : nothing;
  }

  at(index) {
    const { keys, values, timestamps } = this.batch;
    return new Record(itemOf(keys, index), itemOf(values, index), timestamps[index], this.facts, index);
  }
}
