// Stores and timers of processors, over the host for tests.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { column, headerColumns, items } from "../src/columns.js";
import { Record, Reject, TestHost, bytes, onTimer, processor, text } from "../src/index.js";
import { fire, process } from "../src/processing.js";
import { Records } from "../src/records.js";
import { exported, interfaces } from "../src/registry.js";

const shown = (item) => (item === null ? null : text(item));
const at = (key, value, timestamp = 1) => ({ key, value, timestamp });
const stored = (host, store = "counts") => Object.fromEntries(host.entries(store).map((entry) => entry.map(shown)));
const due = (host) => host.timers.map(({ clock, key, name, due }) => [clock, shown(key), name, due]);

/** What comes of records: values by their source, refused ones by their place. */
function made(host, handles, records) {
  const { taken, results, rejected } = host.process(handles, records);
  return [taken, results.map(({ source, value }) => [source, shown(value)]), rejected.map(({ index }) => index)];
}

/** Counts by key, with a timer five later; `no` is refused behind everything else. */
function count({ key, value, timestamp }, call) {
  const counts = call.store("counts");
  const before = counts.get(key);
  counts.put(key, String(before === null ? 1 : Number(text(before)) + 1));
  call.setTimer("event-time", key, "end", timestamp + 5);
  if (text(value) === "no") throw new Reject("no");
  return { value: counts.get(key) };
}

test("records see what those before wrote, and nothing of those refused", () => {
  const host = new TestHost();
  const given = [at("a", "x", 1), at("b", "x", 2), at("a", "no", 3), at("c", "no", 3), at("a", "x", 3)];
  assert.deepEqual(made(host, count, given), [5, [[0, "1"], [1, "1"], [4, "2"]], [2, 3]]);
  assert.deepEqual(stored(host), { a: "2", b: "1" });
  assert.deepEqual(due(host), [["event-time", "b", "end", 7], ["event-time", "a", "end", 8]]);
  assert.equal(host.asked, 3 + 1 + 1, "a question for each key, one put, one for the timers");
  // Kept for the next call.
  assert.deepEqual(made(host, count, [at("a", "x", 4)]), [1, [[0, "3"]], []]);
});

test("a call stops before the record at which its timer is due", () => {
  const stops = (...times) => new TestHost().process(count, times.map((time) => at("a", "x", time))).taken;
  assert.deepEqual([stops(1, 5, 9), stops(1, 6, 9), stops(1, 3, 5, 2)], [2, 1, 4]);
  assert.equal(stops(9, 1, 2), 2, "the second sets one for a time that has passed");
  assert.equal(new TestHost().process(count, [at("a", "no", 1), at("a", "x", 6)]).taken, 2, "one that was refused has set none");
  const byTheWall = (record, call) => call.setTimer("wall-clock", null, "end", 2);
  assert.equal(new TestHost().process(byTheWall, [at("a", "x", 1), at("a", "x", 3)]).taken, 2, "the wall clock is not theirs");
  assert.equal(stops(), 0);
});

test("a call stops when what it makes or holds is large", () => {
  const records = (length) => Array.from({ length }, (_, index) => Record.of(at(`${index}`, "x".repeat(60))));
  const taken = (handles) => process(handles, records(8), new TestHost(), 1_000).taken;
  assert.equal(taken((record) => ({ value: record.value.subarray() })), 8);
  assert.equal(taken(() => ({ value: "x".repeat(300) })), 4, "by results of 308");
  assert.equal(taken(({ key, value }, call) => call.store("s").put(key, value)), 4, "by entries of 261");
  assert.equal(taken((_, call) => call.setTimer("wall-clock", null, "t", 1)), 5, "by timers of 200");
  const host = new TestHost();
  for (let index = 0; index < 8; index++) host.put("s", `${index}`, "x".repeat(99));
  assert.equal(process(({ key }, call) => void call.store("s").get(key), records(8), host, 1_000).taken, 4, "by entries of 300");
  assert.equal(process((_, call) => void call.store("s").range("", "", 5), records(8), host, 1_000).taken, 2, "by ranges of 500");
});

/** Lists a store, and writes before and after. */
function list({ value }, call) {
  const store = call.store("s");
  store.put(value, "1");
  const found = store.range("b", "", 2);
  store.remove("b");
  return { value: found.map((entry) => entry.map(text).join("=")).join() };
}

test("a range has what was written so far", () => {
  const host = new TestHost();
  const listed = made(host, list, ["c", "a", "b", "d"].map((value) => at("", value)));
  assert.deepEqual(listed[1].map(([, value]) => value), ["c=1", "c=1", "b=1,c=1", "c=1,d=1"]);
  assert.deepEqual(stored(host, "s"), { a: "1", c: "1", d: "1" });
});

test("a range is in the order of bytes, from its start to before its end", () => {
  const host = new TestHost();
  for (const key of [[0x7f], [0x80], [0xff, 0], [0xff], [], [0x7f, 0]]) host.put("s", new Uint8Array(key), "v");
  const keys = (...bounds) => {
    const found = [];
    host.process((_, call) => void found.push(...call.store("s").range(...bounds)), [at("k", "v")]);
    return found.map(([key]) => [...key]);
  };
  assert.deepEqual(keys("", "", 9), [[], [0x7f], [0x7f, 0], [0x80], [0xff], [0xff, 0]]);
  assert.deepEqual(keys("\x7f", new Uint8Array([0xff]), 9), [[0x7f], [0x7f, 0], [0x80]]);
  assert.deepEqual(keys(null, null, 1), [[]]);
  assert.deepEqual(keys("", "", 0), []);
  for (const wrong of [-1, 1.5, 2 ** 32, undefined]) {
    assert.throws(() => keys("", "", wrong), /the limit of a range is a whole number up to 4294967295, not/, `${wrong}`);
  }
});

test("the host is asked for a key once, and given a write once", () => {
  const host = new TestHost();
  const twice = (_, call) => {
    for (let turn = 0; turn < 2; turn++) assert.equal(call.store("s").get("none"), null);
    call.store("s").put("k", "v");
    for (let turn = 0; turn < 2; turn++) assert.equal(call.store("s").range("", "", 1).length, 1);
  };
  host.process(twice, [at("k", "v")]);
  assert.equal(host.asked, 1 + 1 + 2);
});

test("changes of timers come in their order, alike ones together", () => {
  const host = new TestHost();
  const several = (_, call) => {
    call.setTimer("event-time", "k", "x", 10);
    call.setTimer("event-time", "k", "y", 11);
    call.setTimer("event-time", "l", "y", 15);
    call.cancelTimer("event-time", "k", "y");
    call.cancelTimer("event-time", "none", "y");
    call.setTimer("wall-clock", "k", "y", 12);
    call.setTimer("wall-clock", null, "y", 13);
    call.setTimer("wall-clock", "", "y", 13);
    call.setTimer("event-time", null, "y", 14);
    call.setTimer("event-time", "l", "y", 16);
  };
  host.process(several, [at("k", "v")]);
  assert.deepEqual(due(host), [
    ["event-time", "k", "x", 10],
    ["wall-clock", "k", "y", 12],
    ["wall-clock", null, "y", 13],
    ["wall-clock", "", "y", 13],
    ["event-time", null, "y", 14],
    ["event-time", "l", "y", 16],
  ]);
  assert.equal(host.asked, 5);
});

test("what is refused leaves the last that was not", () => {
  const host = new TestHost();
  const rewrite = ({ key, value }, call) => {
    const store = call.store("s");
    if (key !== null) return store.put("k", value);
    store.remove("k");
    store.put("k", "lost");
    store.put("new", "lost");
    call.setTimer("wall-clock", null, "lost", 1);
    throw new Reject("no");
  };
  host.put("s", "new", "old");
  const see = (_, call) => ({ value: `${shown(call.store("s").get("k"))} ${shown(call.store("s").get("new"))}` });
  const both = (record, call) => (text(record.value) === "see" ? see(record, call) : rewrite(record, call));
  const given = [at("", "kept"), at(null, "x"), at(null, "x"), at("", "see")];
  assert.deepEqual(made(host, both, given), [4, [[3, "kept old"]], [1, 2]]);
  assert.deepEqual([stored(host, "s"), host.timers], [{ k: "kept", new: "old" }, []]);
  const other = new TestHost();
  other.process(both, [at(null, "x")]);
  assert.deepEqual([stored(other, "s"), other.asked], [{}, 0], "nothing goes to the host");
});

test("what is written is a copy, and so is what is read", () => {
  const host = new TestHost();
  const own = new Uint8Array([1]);
  const change = (_, call) => {
    const store = call.store("s");
    store.put(own, own);
    call.setTimer("event-time", own, "t", 9);
    own[0]++;
    store.get(new Uint8Array([1]))[0] = 9;
    return { value: store.get(new Uint8Array([1])) };
  };
  const { results } = host.process(change, [at("k", "v")]);
  assert.deepEqual([[...results[0].value], host.entries("s").map(([key, value]) => [key[0], value[0]])], [[1], [[1, 1]]]);
  assert.equal(host.timers[0].key[0], 1);
});

test("keys are told apart by their bytes, long ones and others", () => {
  const host = new TestHost();
  const byte = (number) => new Uint8Array([number]);
  const keys = ["a".repeat(9_999), "a".repeat(10_000), `b${"a".repeat(9_999)}`, "é", byte(0xe9), "", new Int8Array([-1]), byte(255)];
  const note = (_, call) => keys.forEach((key, index) => call.store("s").put(key, `${index}`));
  host.process(note, [at("k", "v")]);
  assert.deepEqual(keys.map((key) => text(host.get("s", key))), ["0", "1", "2", "3", "4", "5", "7", "7"]);
});

test("an empty value is one, and null is none", () => {
  const host = new TestHost();
  host.put("s", "gone", "v");
  const note = (record, call) => {
    const store = call.store("s");
    store.put("empty", "");
    store.put("gone", null);
    return { key: null, value: store.get("empty").length === 0 && store.get("gone") === null ? null : "wrong" };
  };
  const { results } = host.process(note, [{ key: null, value: null }]);
  assert.deepEqual([results[0].key, results[0].value, stored(host, "s")], [null, null, { empty: "" }]);
});

test("what no store and no timer can have is refused by the call", () => {
  const wrong = {
    "a key of a store is bytes or text, not null": (call) => call.store("s").get(null),
    "a key of a store is bytes, text or null, not 1": (call) => call.store("s").put(1, "v"),
    "a value of a store is bytes, text or null, not undefined": (call) => call.store("s").put("k"),
    "a bound of a range is bytes, text or null, not 5": (call) => call.store("s").range("a", 5, 1),
    "a timer goes by event-time or wall-clock, not by eventTime": (call) => call.setTimer("eventTime", "k", "t", 1),
    "the name of a timer is a text, not 1": (call) => call.cancelTimer("wall-clock", "k", 1),
    "the key of a timer is bytes, text or null, not undefined": (call) => call.cancelTimer("wall-clock", undefined, "t"),
    "the due time of a timer is a whole number of milliseconds, not 1.5": (call) => call.setTimer("wall-clock", "k", "t", 1.5),
    "the due time of a timer is a whole number of milliseconds, not undefined": (call) => call.setTimer("wall-clock", "k", "t"),
  };
  for (const [message, handles] of Object.entries(wrong)) {
    const host = new TestHost();
    assert.throws(() => host.process((_, call) => handles(call), [at("k", "v")]), new TypeError(message));
    assert.deepEqual([host.entries("s"), host.timers], [[], []], message);
  }
});

test("a call that fails has written nothing, and one that is over has no stores", () => {
  const host = new TestHost();
  const fails = (record, call) => {
    call.store("s").put("k", "v");
    if (record.timestamp === 2) throw new Error("broken");
  };
  assert.throws(() => host.process(fails, [at("k", "v", 1), at("k", "v", 2)]), /broken/);
  assert.deepEqual(stored(host, "s"), {});
  const left = [];
  host.process((_, call) => void left.push(call, call.store("s")), [at("k", "v")]);
  const [call, store] = left;
  const timer = ["wall-clock", "k", "t"];
  for (const late of [
    () => call.store("s"),
    () => store.get("k"),
    () => store.put("k", "v"),
    () => store.range("", "", 1),
    () => call.setTimer(...timer, 1),
    () => call.cancelTimer(...timer),
  ]) {
    assert.throws(late, /the call in which they were asked for, and that is over/);
  }
  assert.throws(() => host.process(async () => null, [at("k", "v")]), /answers at once, not by a promise/);
});

test("results go to outputs by their place, several from a generator, with other parts or none", () => {
  const host = new TestHost();
  const both = function* (record) {
    yield record;
    yield { key: "other", value: "v", timestamp: 9, headers: [["h", "1"]], output: 1 };
  };
  const { results } = host.process(both, [{ ...at("k", "x", 3), headers: [["g", bytes("0")]] }]);
  const parts = ({ source, key, value, timestamp, headers, output }) =>
    [source, shown(key), shown(value), timestamp, headers.map(([name, value]) => [name, shown(value)]), output];
  assert.deepEqual(results.map(parts), [[0, "k", "x", 3, [["g", "0"]], 0], [0, "other", "v", 9, [["h", "1"]], 1]]);
});

test("a processor knows what the host knows of a record", () => {
  const seen = [];
  const look = (record) => void seen.push(text(record.header("h")), record.streamTime, record.window, record.input);
  const window = { start: 0, end: 5 };
  new TestHost().process(look, [{ ...at("k", "v"), headers: [["h", bytes("1")]], streamTime: 7, window, input: 2 }]);
  assert.deepEqual(seen.splice(0), ["1", 7, window, 2]);
  const host = {
    headers: () => headerColumns([[["h", bytes("1")]], [["h", bytes("2")]]]),
    streamTimes: () => [7n, 8n],
    windows: () => [[0n, 0n], [5n, 5n]],
    inputs: () => [2, 3],
  };
  const batch = { keys: column(["k", null]), values: column(["v", "w"]), timestamps: [1n, 2n] };
  process(look, new Records(batch, host), new TestHost());
  assert.deepEqual(seen, ["1", 7, window, 2, "2", 8, window, 3]);
});

/** Tells what it is told, and starts over; `bad` is refused. */
function ring(timer, call) {
  call.cancelTimer(timer.clock, null, "other");
  call.setTimer(timer.clock, timer.key, timer.name, timer.due + 1);
  if (timer.name === "bad") throw new Reject("bad");
  return timer;
}

test("timers are told and their results have values", () => {
  const host = new TestHost();
  const clock = "wall-clock";
  host.setTimer({ clock, name: "other", due: 1 });
  host.setTimer({ clock: "event-time", name: "other", due: 1 });
  const timer = (key, name, due) => ({ clock, key, name, due });
  const output = host.fire(ring, [timer("a", "one", 7), timer("b", "bad", 7), timer("b", "two", 9)]);
  const parts = output.results.map(({ source, key, value, timestamp, headers }) => [source, shown(key), shown(value), timestamp, headers]);
  assert.deepEqual(parts, [[0, "a", "one", 7, []], [2, "b", "two", 9, []]]);
  assert.deepEqual([output.taken, output.rejected], [3, [{ index: 1, reason: "bad" }]]);
  assert.deepEqual(due(host), [["event-time", null, "other", 1], [clock, "a", "one", 8], [clock, "b", "two", 10]]);
});

test("a timer that fires is gone unless it is set again, and sets others for whatever time", () => {
  const host = new TestHost();
  const clock = "event-time";
  for (const name of ["a", "b"]) host.setTimer({ clock, key: "k", name, due: 5 });
  const once = ({ name }, call) => (name === "a" ? call.setTimer(clock, null, "late", 1) : { value: null });
  const { taken, results } = host.fire(once, host.timers);
  assert.deepEqual([taken, results.map(({ value }) => value), due(host)], [2, [null], [[clock, null, "late", 1]]]);
  const ofBoth = [clock, "wall-clock"].map((clock) => ({ clock, key: null, name: "x", due: 1 }));
  assert.throws(() => host.fire(once, ofBoth), /of their own/);
});

test("keys and times of a timer's results are its own, and values are there in any case", () => {
  const batch = (...names) => new Records({ keys: column(names.map(() => null)), values: column(names), timestamps: names.map(() => 5n) });
  const output = (handles, ...names) => fire(handles, "event-time", batch(...names), new TestHost());
  const { values, ...others } = output((timer) => timer, "one", "two");
  assert.deepEqual(others, { taken: 2, sources: null, ports: null, keys: null, timestamps: null, headers: null, rejected: [] });
  assert.deepEqual(items(values).map(text), ["one", "two"]);
  assert.equal(items(output(() => null, "one").values).length, 0);
  assert.equal(items(output(() => null).values).length, 0);
  assert.throws(() => output(() => Record.of({}), "one"), /a result is what was given/);
});

beforeEach(() => exported.clear());

test("a program exports a processor, and on-timer only when there is something to fire", () => {
  assert.equal(processor(count), count);
  assert.deepEqual(interfaces(), ["processor"]);
  assert.equal(onTimer(ring), ring);
  assert.deepEqual(interfaces(), ["on-timer", "processor"]);
});
