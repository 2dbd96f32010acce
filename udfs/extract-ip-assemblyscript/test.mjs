//! The map as a host calls it: node test.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../../guest-sdk/assemblyscript/testing.mjs";

const guest = await load(process.argv[2]);
const line = "[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login";
const noTime = "the line does not start with [YYYY-MM-DD hh:mm:ss]";
const wrongTime = "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss";

const { taken, results, rejected } = guest.apply([{ value: "no" }, { key: "old", value: line, timestamp: 7 }, { value: null }]);
assert.equal(taken, 3);
assert.deepEqual(results, [{ source: 1, key: "192.168.1.1", value: line, timestamp: 1619879400000, port: 0 }]);
assert.deepEqual(rejected, [0, 2].map((index) => ({ index, rejected: noTime })));
assert.deepEqual(guest.apply([]), { taken: 0, results: [], rejected: [] });

for (const [text, time] of [
  ["1970-01-01 00:00:00", 0],
  ["9999-12-31 23:59:59", 253402300799000],
  ["2000-02-29 23:59:59", 951868799000],
  ["2024-03-01 00:00:00", 1709251200000],
]) {
  const answer = guest.apply([{ value: `[${text}] IP: a` }]);
  assert.deepEqual([answer.results[0].timestamp, answer.rejected], [time, []], text);
}
for (const [value, reason] of [
  ["[2021-05-01 14:30:00", noTime],
  ["[1900-02-29 00:00:00] IP: a", wrongTime],
  ["[2021-13-01 00:00:00] IP: a", wrongTime],
  ["[2021-05-01 24:00:00] IP: a", wrongTime],
  ["[2021-05-0x 10:00:00] IP: a", wrongTime],
  ["[2021-05-01T10:00:00] IP: a", wrongTime],
  ["[1969-12-31 23:59:59] IP: ::1", "the bracketed time is before 1970"],
  ["[2021-05-01 14:30:00] User: Alice", "the line has no field IP"],
  ["[2021-05-01 14:30:00] IP: , User: Alice", "the field IP is empty"],
]) {
  assert.deepEqual(guest.apply([{ value }]).rejected, [{ index: 0, rejected: reason }], value);
}
