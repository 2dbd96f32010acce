//! The joiner as a host calls it: node test.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../../guest-sdk/assemblyscript/testing.mjs";

const guest = await load(process.argv[2]);
const pairs = [["a", "b"], ["a", null], [null, ""], ["a", "a"], ["", ""], ["a", "b,c"], [",", null]];
assert.deepEqual(guest.join(pairs.map(([left, right]) => ({ key: "k", left, right }))), {
  values: ["a,b", "a,-", "-,", null, null, null, null],
  rejected: [5, 6].map((index) => ({ index, rejected: "a value has a comma" })),
});
