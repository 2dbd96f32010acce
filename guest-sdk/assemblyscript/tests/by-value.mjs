//! The columns that functions are run on: nulls, empty batches, refused records, many results. node by-value.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../testing.mjs";

const guest = await load(process.argv[2]);
const apply = (...values) => guest.apply(values.map((value, timestamp) => ({ value, timestamp })));
const short = ({ results }) => results.map(({ source, key, value, timestamp, port }) => [source, key, value, timestamp, port]);

assert.deepEqual(short(apply("same", "same")), [[0, null, "same", 0, 0], [1, null, "same", 1, 0]]);
assert.deepEqual(short(apply("same", "drop", "twice", "port", "same")), [
  [0, null, "same", 0, 0],
  [2, null, "one", 2, 0],
  [2, null, null, 2, 0],
  [3, "key", "port", 99, 2],
  [4, null, "same", 4, 0],
]);
const refused = apply("twice", "bad", "same", "bad");
assert.deepEqual(short(refused), [[0, null, "one", 0, 0], [0, null, null, 0, 0], [2, null, "same", 2, 0]]);
assert.deepEqual(refused.rejected, [{ index: 1, rejected: "no" }, { index: 3, rejected: "no" }]);

// Every place of a null among up to 17 results.
for (let length = 1; length <= 17; length++) {
  for (let at = 0; at < length; at++) {
    const values = [...Array(length)].map((_, i) => (i === at ? "twice" : "same"));
    const expected = values.flatMap((value) => (value === "twice" ? ["one", null] : ["same"]));
    assert.deepEqual(apply(...values).results.map(({ value }) => value), expected, `${length} ${at}`);
  }
}

// A large result is cut.
assert.equal(apply(...Array(32).fill("mega")).taken, 8);
apply("log");
assert.deepEqual(guest.lines, [[3, "é"]]);
assert.throws(() => apply("throw"), WebAssembly.RuntimeError);
assert.match(guest.lines[1][1], /^thrown at by-value.ts:/);
