//! Migrators beside processors and scanners: node migrate.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../testing.mjs";

const file = process.argv[2];
const started = async (name) => {
  const guest = await load(file);
  guest.start(name);
  return guest;
};
const texts = (all) => all.map((one) => one && new TextDecoder().decode(one));

// Both are there, and nothing that was not exported.
const guest = await started("stores");
const exported = Object.keys(guest.exports).flatMap((name) => /^millstream:udf\/(.*)@/.exec(name)?.[1] ?? []);
assert.deepEqual([...new Set(exported)].sort(), ["lifecycle", "migrator", "processor", "scanner"]);
assert.deepEqual(guest.describe(), { current: 1, reads: [0], writes: [2, 3] });
guest.process([{ key: "k", value: "v" }]);
assert.deepEqual(texts([guest.stores.names.get("k")]), ["v"]);

// Each is told with its store and its key; null stays null, and its neighbours are what they were.
const migrate = (store) => texts(guest.migrate(0, 1, ["1", null, "3", "", "é"], store, ["a", "b", null, "", "ö"]));
assert.deepEqual(migrate("names"), ["a=1", null, "null=3", "=", "ö=é"]);
assert.deepEqual(migrate("größen"), ["größen/a 0>1 1", null, "größen/null 0>1 3", "größen/ 0>1 ", "größen/ö 0>1 é"]);
assert.deepEqual(migrate(""), ["/a 0>1 1", null, "/null 0>1 3", "/ 0>1 ", "/ö 0>1 é"]);
assert.deepEqual(texts(guest.migrate(1, 3, ["x"], "names")), ["k=x"]);
assert.deepEqual(guest.migrate(0, 1, [], "names"), []);
assert.throws(() => guest.migrate(0, 1, ["x", "bad"], "names"), { message: "names: it is bad" });
assert.throws(() => guest.migrate(3, 1, ["x"], "names"), /no way from layout 3 to 1/);

// Beside a scanner, whose states have no store.
const scans = await started("last");
assert.deepEqual(scans.scan([{ value: "x" }], scans.migrate(0, 1, ["0"])[0]).values, ["x"]);
assert.deepEqual(texts(scans.migrate(0, 1, ["0"])), ["/k 0>1 0"]);

// A function without one, in a module where others have one, has layout 0.
const plain = await started("plain");
assert.deepEqual(plain.describe(), { current: 0, reads: [], writes: [] });
assert.throws(() => plain.migrate(0, 1, ["x"]), /this function has no migrator/);
