// What a component's exports call: each object answers for an interface of the contract.

import { host } from "#host";
import * as folding from "./folding.js";
import { migrate } from "./migrating.js";
import { described, exported, start } from "./registry.js";
import * as single from "./single.js";

/** What and where. */
function said(error) {
  if (!(error instanceof Error)) return String(error);
  const place = String(error.stack ?? "").split("\n").find((line) => line.trim() !== "" && !line.includes(error.message));
  return `${error.name}: ${error.message}${place ? `, at ${place.trim().replace(/^at /, "")}` : ""}`;
}

/** Answers a call. What a function throws besides a Reject fails the call: the contract's error is a text. */
export function answered(name, call) {
  try {
    host.begin();
    const answers = exported.get(name);
    if (!answers) throw new Error(`this function has no ${name}; another function of its file may`);
    return call(answers);
  } catch (error) {
    throw said(error);
  }
}

export const filter = { keep: (records) => answered("filter", (f) => single.keep(f, records, host)) };
export const mapper = { apply: (records) => answered("mapper", (f) => single.apply(f, records, host)) };
export const joiner = { join: (keys, left, right) => answered("joiner", (f) => single.join(f, keys, left, right)) };
export const router = {
  route: (records) => answered("router", ({ answers, partitioned }) => single.route(answers, partitioned, records, host)),
};
export const aggregator = {
  add: (into, records) => answered("aggregator", (made) => folding.add(made, into, records, host)),
  finish: (of) => answered("aggregator", (made) => folding.finish(made, of)),
};
export const retractor = {
  remove: (from, records) => answered("retractor", (made) => folding.remove(made, from, records, host)),
};
export const scanner = { scan: (into, records) => answered("scanner", (made) => folding.scan(made, into, records, host)) };
export const merger = { merge: (_keys, left, right) => answered("merger", (made) => folding.merge(made, left, right)) };
export const migrator = {
  describe() {
    // Without a migrator: layout 0, for ever.
    const { current, reads, writes } = exported.get("migrator")?.layouts ?? { current: 0, reads: [], writes: [] };
    return { current, reads: new Uint32Array(reads), writes: new Uint32Array(writes) };
  },
  migrate: (store, from, to, keys, states) => answered("migrator", (made) => migrate(made, store, from, to, keys, states)),
};
export const lifecycle = {
  functions: () =>
    described.map(({ name, interfaces, summary, settingsSchema }) => ({
      name,
      interfaces,
      details: [["summary", summary], ["settings-schema", settingsSchema]].filter(([, text]) => text),
    })),
  start(name, settings) {
    try {
      host.begin();
      start(name, settings);
    } catch (error) {
      throw error instanceof Error ? error.message : String(error);
    }
  },
};
