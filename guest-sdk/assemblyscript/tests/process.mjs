//! Stores and timers of processors: node process.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../testing.mjs";

const guest = await load(process.argv[2]);
const begin = () => Object.assign(guest, { stores: {}, timers: [], asked: 0 });
const at = (key, value, timestamp) => ({ key, value, timestamp });
const stored = () => Object.fromEntries([...guest.stores.counts].map(([key, value]) => [key, new TextDecoder().decode(value)]));
const due = () => guest.timers.map(({ clock, key, name, due }) => [clock, key, name, due]);

// Records see what those before wrote, and nothing of those refused.
const seen = guest.process([at("a", "x", 1), at("b", "x", 2), at("a", "no", 3), at("c", "no", 3), at("a", "x", 3)]);
assert.equal(seen.taken, 5);
assert.deepEqual(seen.results.map(({ source, value }) => [source, value]), [[0, "1"], [1, "1"], [4, "2"]]);
assert.deepEqual(seen.rejected, [2, 3].map((index) => ({ index, rejected: "no" })));
assert.deepEqual(stored(), { a: "2", b: "1" });
assert.deepEqual(due(), [[0, "b", "end", 7], [0, "a", "end", 8]]);
// A store is opened once; then a question for each key, one put, one for the timers.
assert.equal(guest.asked, 1 + 3 + 1 + 1);
// Kept for the next call.
begin();
guest.stores.counts = new Map([["a", "7"]]);
assert.equal(guest.process([at("a", "x", 1)]).results[0].value, "8");
assert.equal(guest.asked, 1 + 1 + 1);

// A call stops before the record at which its timer is due.
const stops = (...times) => begin() && guest.process(times.map((time) => at("a", "x", time))).taken;
assert.deepEqual([stops(1, 5, 9), stops(1, 6, 9), stops(1, 3, 5, 2)], [2, 1, 4]);
assert.equal(stops(9, 1, 2), 2, "the second sets one for a time that has passed");
begin();
assert.equal(guest.process([at("a", "no", 1), at("a", "x", 6)]).taken, 2, "one that was refused has set none");
assert.deepEqual(guest.process([]), { taken: 0, results: [], rejected: [] });

// A range has what was written so far.
begin();
const listed = guest.process(["c", "a", "b", "d"].map((key) => at(key, "list", 1)));
assert.deepEqual(listed.results.map(({ value }) => value), ["c=1 ", "c=1 ", "b=1 c=1 ", "c=1 d=1 "]);
assert.deepEqual(stored(), { c: "1", a: "1", d: "1" });

// The host is asked for a key once, and given a write once.
begin();
guest.process([at("k", "twice", 1)]);
assert.equal(guest.asked, 1 + 1 + 2);

// Changes of timers come in their order, alike ones together.
begin();
guest.process([at("k", "several", 1)]);
assert.deepEqual(due(), [[0, "k", "x", 10], [1, "k", "y", 12], [1, null, "y", 13], [0, null, "y", 14]]);
assert.equal(guest.asked, 5);

// What is refused leaves the last that was not; what it was the first to write is asked for again.
begin();
guest.stores.counts = new Map([["k", "4"]]);
const messy = guest.process([at("a", "x", 1), at("a", "mess", 1), at("a", "mess", 1), at("k", "x", 1)]);
assert.deepEqual(messy.results.map(({ value }) => value), ["1", "5"]);
assert.deepEqual([stored(), due()], [{ a: "1", k: "5" }, [[0, "a", "end", 6], [0, "k", "end", 6]]]);
begin();
guest.process([at("a", "mess", 1)]);
assert.deepEqual([guest.stores, guest.asked], [{}, 0]);

// What is written is a copy, whatever becomes of what it was.
begin();
guest.process([at("a", "own 1", 1), at("b", "own 2", 1)]);
assert.deepEqual(stored(), { a: "own 1", b: "own 2" });

// Keys of one hash are keys of their own: these two have one by FNV-1a.
begin();
const alike = guest.process([at("costarring", "x", 1), at("liquid", "x", 1), at("costarring", "x", 1)]);
assert.deepEqual(alike.results.map(({ value }) => value), ["1", "1", "2"]);

// Timers are told and their results have values.
begin();
guest.timers = [{ clock: 1, key: null, name: "other", due: 1 }];
const fired = guest.fire(1, [{ key: "a", name: "one", due: 7 }, { key: "b", name: "bad", due: 7 }, { key: "b", name: "two", due: 9 }]);
assert.deepEqual(fired, {
  taken: 3,
  results: [{ source: 0, key: "a", value: "one", timestamp: 7, port: 0 }, { source: 2, key: "b", value: "two", timestamp: 9, port: 0 }],
  rejected: [{ index: 1, rejected: "bad" }],
});
assert.deepEqual(due(), [[1, "a", "one", 8], [1, "b", "two", 10]]);
assert.deepEqual(guest.fire(0, []), { taken: 0, results: [], rejected: [] });

// What a call took is used again by the next.
const many = [...Array(2_000)].map((_, i) => at(`key ${i}`, "x", 1));
for (let call = 0; call < 3; call++) begin() && guest.process(many);
const size = guest.exports.memory.buffer.byteLength;
for (let call = 0; call < 20; call++) begin() && guest.process(many);
assert.equal(guest.exports.memory.buffer.byteLength, size);
