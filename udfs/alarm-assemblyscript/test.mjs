//! The processor as a host calls it: node test.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../../guest-sdk/assemblyscript/testing.mjs";

const guest = await load(process.argv[2]);
const say = (...items) => guest.process(items.map(([value, timestamp]) => ({ key: "k", value, timestamp })));
const told = ({ results }) => results.map(({ value, port }) => [value, port]);
const fire = () => {
  const [timer] = guest.timers.splice(0, 1);
  return [timer.due, told(guest.fire(timer.clock, [timer]))];
};

// Silence gives an alarm, and its end is told.
assert.deepEqual(told(say(["a", 1_000], ["b", 5_000], ["older", 2_000])), []);
assert.deepEqual(fire(), [35_000, [["b", 0]]]);
assert.deepEqual(guest.stores.last.get("k"), Uint8Array.of(0x88, 0x13, 0, 0, 0, 0, 0, 0, 1, 0x62));
assert.deepEqual(told(say(["c", 45_000], ["d", 46_000])), [["40000", 1]]);
assert.deepEqual(guest.timers, [{ clock: 0, key: "k", name: "silent", due: 76_000 }]);
assert.deepEqual(guest.stores.last.get("k"), Uint8Array.of(0xb0, 0xb3, 0, 0, 0, 0, 0, 0, 0, 0x64));

// A record without a key is refused, and a timer of nothing does nothing.
assert.deepEqual(guest.process([{ value: "x" }]).rejected, [{ index: 0, rejected: "a record without a key belongs to nobody" }]);
assert.deepEqual(told(guest.fire(0, [{ key: "x", name: "silent", due: 1 }])), []);
