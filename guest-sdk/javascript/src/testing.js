// The host of processors for tests: stores that are there when a function asks for them, and timers that fire when a test says so.
// Nothing is kept on disk, and nothing fires by itself.

import { textOf } from "./call.js";
import { bytesOf, headersOf, items } from "./columns.js";
import { fire, process } from "./processing.js";
import { Record } from "./records.js";

const copy = (bytes) => bytes && new Uint8Array(bytes);
const order = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

/** Keys in their order, null before all. */
const rank = (key) => (key === null ? "" : `k${textOf(key)}`);

/** Stores and timers for tests of processors. */
export class TestHost {
  constructor() {
    /** How often it was asked or told something: what a function costs besides its own work. */
    this.asked = 0;
    /** By store, entries by their key as text. */
    this.held = new Map();
    this.set = [];
  }

  /** What a processor makes of records; each is a Record, or what `Record.of` takes. */
  process(processor, records) {
    const all = records.map((record) => (record instanceof Record ? record : Record.of(record)));
    return shown(process(processor, all, this), all);
  }

  /** What comes of timers of one clock that are due; those that are set are taken out. */
  fire(onTimer, timers) {
    const [clock] = new Set(timers.map((timer) => timer.clock));
    if (timers.some((timer) => timer.clock !== clock)) throw new Error("timers of both clocks are due in calls of their own");
    for (const { key, name } of timers) this.take(clock, key, name);
    const records = timers.map(({ key, name, due }) => Record.of({ key, value: name, timestamp: due }));
    return shown(fire(onTimer, clock, records, this), records);
  }

  /** The value of a key; null: there is none. */
  get(store, key) {
    const own = copy(bytesOf(key, "a key of a store"));
    return copy(this.entriesOf(store).get(textOf(own))?.[1] ?? null);
  }

  /** Sets the value of a key; null removes it. */
  put(store, key, value) {
    const own = copy(bytesOf(key, "a key of a store"));
    if (value === null) this.entriesOf(store).delete(textOf(own));
    else this.entriesOf(store).set(textOf(own), [own, copy(bytesOf(value, "a value of a store"))]);
  }

  /** A store's keys and values, in the order of keys. */
  entries(store) {
    const sorted = [...this.entriesOf(store)].sort(([one], [other]) => order(one, other));
    return sorted.map(([, [key, value]]) => [copy(key), copy(value)]);
  }

  /** The timers that are set, in the order of due time, key and name. */
  get timers() {
    const all = this.set.map((timer) => ({ ...timer, key: copy(timer.key) }));
    return all.sort((a, b) => a.due - b.due || order(rank(a.key), rank(b.key)) || order(a.name, b.name));
  }

  /** Sets a timer, as a function did before. */
  setTimer({ clock = "event-time", key = null, name, due }) {
    const own = copy(bytesOf(key, "the key of a timer"));
    this.take(clock, own, name);
    this.set.push({ clock, key: own, name, due });
  }

  entriesOf(store) {
    if (!this.held.has(store)) this.held.set(store, new Map());
    return this.held.get(store);
  }

  take(clock, key, name) {
    const wanted = rank(bytesOf(key, "the key of a timer"));
    this.set = this.set.filter((timer) => timer.clock !== clock || timer.name !== name || rank(timer.key) !== wanted);
  }

  /** As a call asks its host. */
  read(store, key) {
    this.asked++;
    return this.get(store, key);
  }

  write(store, keys, values) {
    this.asked++;
    keys.forEach((key, index) => this.put(store, key, values[index]));
  }

  range(store, start, end, limit) {
    this.asked++;
    const [first, last] = [textOf(start), textOf(end)];
    const inside = ([key]) => textOf(key) >= first && (end.length === 0 || textOf(key) < last);
    return this.entries(store).filter(inside).slice(0, limit);
  }

  time(clock, name, keys, due) {
    this.asked++;
    keys.forEach((key, index) => {
      if (due) this.setTimer({ clock, key, name, due: due[index] });
      else this.take(clock, key, name);
    });
  }
}

/** The contract's `output` with each result by itself, all of its parts given. */
function shown({ taken, sources, ports, keys, values, timestamps, headers, rejected }, records) {
  const [allKeys, allValues, allHeaders] = [keys && items(keys), values && items(values), headers && headersOf(headers)];
  const results = Array.from(sources ?? Array(taken).keys(), (source, index) => ({
    source,
    key: allKeys ? allKeys[index] : records[source].key,
    value: allValues ? allValues[index] : records[source].value,
    timestamp: timestamps ? Number(timestamps[index]) : records[source].timestamp,
    headers: allHeaders ? allHeaders[index] : records[source].headers,
    output: ports ? ports[index] : 0,
  }));
  return { taken, results, rejected };
}
