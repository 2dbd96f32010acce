// Migrators beside processors: what they are told, and what the program exports.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { column, items } from "../src/columns.js";
import * as component from "../src/component.js";
import { functions, migrate, migrator, processor, start, text } from "../src/index.js";
import { described, exported, interfaces } from "../src/registry.js";

beforeEach(() => {
  exported.clear();
  described.length = 0;
});

const shown = (given) => items(given).map((item) => (item === null ? null : text(item)));

/** From layout 1 on, entries of `names` begin with their keys, and all else says what it is. */
const several = {
  layouts: { current: 1, reads: [0], writes: [] },
  migrate({ store, key, state }, from, to) {
    const named = key === null ? "null" : text(key);
    return store === "names" ? `${named}=${text(state)}` : `${store}/${named} ${text(state)} ${from}>${to}`;
  },
};

const keys = column(["a", "b", null, ""]);
const states = column(["1", null, "3", "4"]);
const EXPECTED = {
  names: ["a=1", null, "null=3", "=4"],
  counts: ["counts/a 1 0>1", null, "counts/null 3 0>1", "counts/ 4 0>1"],
  "": ["/a 1 0>1", null, "/null 3 0>1", "/ 4 0>1"],
};

test("a migrator is told the store and the key of each state", () => {
  for (const [store, expected] of Object.entries(EXPECTED)) {
    assert.deepEqual(shown(migrate(several, store, 0, 1, keys, states)), expected);
  }
});

test("the host's call reaches it with store and keys", () => {
  migrator(several);
  assert.deepEqual(component.migrator.describe(), { current: 1, reads: Uint32Array.of(0), writes: Uint32Array.of() });
  for (const [store, expected] of Object.entries(EXPECTED)) {
    assert.deepEqual(shown(component.migrator.migrate(store, 0, 1, keys, states)), expected);
  }
});

test("a migrator beside a processor exports both", () => {
  processor(() => null);
  assert.equal(migrator(several), several);
  assert.deepEqual(interfaces(), ["migrator", "processor"]);
});

test("of several functions one may have a migrator; the others have layout 0", () => {
  functions(
    { name: "new", interfaces: ["processor", "migrator"], start: () => (processor(() => null), migrator(several)) },
    { name: "plain", interfaces: ["processor"], start: () => processor(() => null) },
  );
  assert.deepEqual(interfaces(), ["lifecycle", "migrator", "processor"]);
  start("plain", []);
  assert.equal(component.migrator.describe().current, 0);
  assert.throws(() => component.migrator.migrate("", 0, 1, keys, states), /this function has no migrator; another/);
  start("new", []);
  assert.equal(component.migrator.describe().current, 1);
});
