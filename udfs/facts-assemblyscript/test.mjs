//! The map as a host calls it: node test.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../../guest-sdk/assemblyscript/testing.mjs";

const guest = await load(process.argv[2]);
guest.facts = { headers: [[["a", "1"], ["b", null]], []], streamTimes: [5, 6], windows: [[0, 10], [10, 20]], inputs: [1, 0] };
const { results } = guest.apply([{ value: "log é" }, { value: null }]);
assert.deepEqual(results.map(({ value, headers }) => [value, headers]), [
  ["headers a=1 b; stream time 5; window 0..10; input 1", [["a", "1"], ["b", null], ["seen", "yes"]]],
  ["headers; stream time 6; window 10..20; input 0", [["seen", "yes"]]],
]);
assert.deepEqual(guest.lines, [[2, "é"]]);
guest.facts = { streamTimes: [5] };
assert.equal(guest.apply([{ value: "lo" }]).results[0].value, "headers; stream time 5; input 0");
