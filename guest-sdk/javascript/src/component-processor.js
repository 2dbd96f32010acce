// The export of a component that has a processor, which alone imports stores. Not timers, which not every processor sets.

import { host } from "#host";
import { Store } from "millstream:udf/state@0.1.0";
import { column, items } from "./columns.js";
import { answered } from "./component.js";
import { process } from "./processing.js";
import { Records } from "./records.js";

/** Stores that were opened, for as long as the instance lives. */
const opened = new Map();

function storeOf(name) {
  if (!opened.has(name)) opened.set(name, Store.open(name));
  return opened.get(name);
}

/** The host's stores, as a call asks for them; its timers, where there is something to fire. */
export const kept = {
  read: (name, key) => items(storeOf(name).get(column([key])))[0],
  write: (name, keys, values) => storeOf(name).put({ keys: column(keys), values: column(values) }),
  range(name, start, end, limit) {
    const { keys, values } = storeOf(name).range(start, end, limit);
    const all = items(values);
    return items(keys).map((key, index) => [key, all[index]]);
  },
  time() {
    throw new Error("a processor that sets timers needs a function that handles them: give one to onTimer");
  },
};

export const processor = { process: (records) => answered("processor", (f) => process(f, new Records(records, host), kept)) };
