import assert from "node:assert/strict";
import { test } from "node:test";
import { TestHost, text } from "millstream-sdk";
import { heard, silent } from "./alarm.js";

const say = (host, ...items) => host.process(heard, items.map(([value, timestamp]) => ({ key: "k", value, timestamp })));
const told = ({ results }) => results.map(({ value, output }) => [text(value), output]);
/** What is known of the key. */
const known = (host) => [...host.get("last", "k")];

test("silence gives an alarm, and its end is told", () => {
  const host = new TestHost();
  assert.deepEqual(told(say(host, ["a", 1_000], ["b", 5_000], ["older", 2_000])), []);
  const [timer] = host.timers;
  assert.deepEqual([timer.clock, timer.name, timer.due], ["event-time", "silent", 35_000]);
  assert.deepEqual(told(host.fire(silent, [timer])), [["b", 0]]);
  assert.deepEqual(known(host), [0x88, 0x13, 0, 0, 0, 0, 0, 0, 1, 0x62]);
  assert.deepEqual(told(say(host, ["c", 45_000], ["d", 46_000])), [["40000", 1]]);
  assert.deepEqual(host.timers.map(({ due }) => due), [76_000]);
  assert.deepEqual(known(host), [0xb0, 0xb3, 0, 0, 0, 0, 0, 0, 0, 0x64]);
});

test("a record without a key is refused, and a timer of nothing does nothing", () => {
  const host = new TestHost();
  const { rejected } = host.process(heard, [{ value: "x" }]);
  assert.deepEqual(rejected, [{ index: 0, reason: "a record without a key belongs to nobody" }]);
  for (const key of ["x", null]) {
    assert.deepEqual(told(host.fire(silent, [{ clock: "event-time", key, name: "silent", due: 1 }])), []);
  }
  assert.deepEqual(host.entries("last"), []);
});
