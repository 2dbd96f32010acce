import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { beforeEach, test } from "node:test";
import { runInNewContext } from "node:vm";
import { column, headerColumns, headersOf, items } from "../src/columns.js";
import * as folding from "../src/folding.js";
import { aggregator, filter, functions, migrate, Record, Reject, scanner, start } from "../src/index.js";
import { described, exported, interfaces } from "../src/registry.js";
import * as single from "../src/single.js";
import { bytes, text } from "../src/text.js";

const shown = (given) => items(given).map((item) => (item === null ? null : text(item)));

/** Records with these values, key `k`, times from 0. */
const batch = (...values) => ({
  keys: column(values.map(() => "k")),
  values: column(values),
  timestamps: new BigInt64Array(values.map((_, index) => BigInt(index))),
});

test("every place of a null is read back", () => {
  for (let length = 0; length < 18; length++) {
    for (let none = 0; none <= length; none++) {
      const given = Array.from({ length }, (_, index) => (index === none ? null : `item ${index}`));
      const made = column(given);
      assert.deepEqual(shown(made), given);
      assert.equal(made.validity.length, none < length ? (length + 7) >> 3 : 0);
    }
  }
  assert.deepEqual(shown(column(["", null])), ["", null]);
  assert.throws(() => column([1]), /not 1/);
  assert.deepEqual(shown(column([runInNewContext("new Uint8Array([65])")])), ["A"], "bytes of another realm");
});

test("text is UTF-8, and what is none is refused", () => {
  for (const given of ["", "a", "é", "€", "😀", "a\u0000b"]) {
    assert.deepEqual(Buffer.from(bytes(given)), Buffer.from(given));
    assert.equal(text(bytes(given)), given);
  }
  assert.deepEqual(Buffer.from(bytes("\ud800")), Buffer.from("\ufffd"));
  for (const wrong of [[0xff], [0x80], [0xc0, 0x80], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xc3], [0xc3, 0x41]]) {
    assert.throws(() => text(new Uint8Array(wrong)), /not UTF-8/, wrong.join());
  }
});

test("a refused record has its bit at 0 and its reason; anything else that is thrown fails the call", () => {
  const long = (record) => {
    if (record.text === "bad") throw new Reject("it is bad");
    return record.text.length > 0;
  };
  const { bits, rejected } = single.keep(long, batch("a", "bad", "b", "", new Uint8Array([255]), "c", "d", "e", null));
  assert.deepEqual([...bits], [0b1110_0101, 0]);
  const reasons = [[1, "it is bad"], [4, "the value is not UTF-8"], [8, "the record has no value"]];
  assert.deepEqual(rejected, reasons.map(([index, reason]) => ({ index, reason })));
  assert.throws(() => single.keep(() => null.x, batch("a")), TypeError);
  assert.equal(single.keep(long, batch()).bits.length, 0);
});

test("what stays is not sent", () => {
  for (const same of [(record) => record, () => ({})]) {
    const out = single.apply(same, batch("a", "b"));
    const nothing = { sources: null, ports: null, keys: null, values: null, timestamps: null, headers: null };
    assert.deepEqual(out, { taken: 2, ...nothing, rejected: [] });
  }
});

test("a generator makes several, and what is the same is filled in", () => {
  const out = single.apply(function* (record) {
    yield record;
    if (record.text !== "b") return;
    yield { value: "B", output: 1 };
    yield { value: null, timestamp: 9 };
  }, batch("a", "b"));
  assert.deepEqual(shown(out.values), ["a", "b", "B", null]);
  assert.deepEqual([[...out.sources], [...out.ports], [...out.timestamps]], [[0, 1, 1, 1], [0, 0, 1, 0], [0n, 1n, 1n, 9n]]);
  assert.equal(out.keys, null);
});

test("nothing of a refused record stays, and one without results is left out", () => {
  const out = single.apply(function* (record) {
    if (record.text === "") return;
    yield { key: record.value };
    if (record.text === "bad") throw new Reject("it is bad");
  }, batch("bad", "a", "", "bad", "b"));
  assert.deepEqual([shown(out.keys), [...out.sources], out.taken], [["a", "b"], [1, 4], 5]);
  assert.deepEqual(out.rejected.map(({ index }) => index), [0, 3]);
});

test("headers are those of the record or others, and are asked for once", () => {
  let asked = 0;
  const given = [[["x", bytes("1")], ["x", null]], []];
  const host = { headers: () => (asked++, headerColumns(given)), inputs: () => null, streamTimes: () => new BigInt64Array([5n, 15n]), windows: () => [[0n, 10n], [10n, 20n]] };
  const seen = [];
  const out = single.apply((record) => {
    seen.push([record.input, record.streamTime, record.window, record.header("x")]);
    return record.text === "b" ? { headers: [["y", "3"]] } : record;
  }, batch("a", "b"), host);
  assert.deepEqual(headersOf(out.headers), [given[0], [["y", bytes("3")]]]);
  assert.deepEqual(seen, [[0, 5, { start: 0, end: 10 }, null], [0, 15, { start: 10, end: 20 }, null]]);
  assert.equal(asked, 1);
  assert.equal(Record.of({ headers: [["a", bytes("1")], ["a", bytes("2")]] }).header("a")[0], 0x32);
});

test("a mapper stops when its results are large, and takes an empty batch", () => {
  const out = single.apply(() => ({ value: "x".repeat(60) }), batch("a", "b", "c", "d"), null, 100);
  assert.deepEqual([out.taken, out.sources, [...out.values.offsets]], [2, null, [0, 60, 120]]);
  assert.equal(single.apply((record) => record, batch()).taken, 0);
});

/** Adds the lengths of values; the state is one byte; at 100 nothing is left. */
const lengths = {
  layouts: { current: 2, reads: [1], writes: [1] },
  start: () => 0,
  decode(data) {
    if (data.length !== 1) throw new Error("no byte");
    return data[0];
  },
  encode: (state) => new Uint8Array([state]),
  add(state, { value }) {
    if (value === null) throw new Reject("no value");
    return state + value.length;
  },
  remove: (state, { value }) => state - value.length,
  gone: (state) => state === 100,
  finish: (state, { key, window }) => (state === 0 ? null : `${text(key)}${window?.end ?? ""}:${state}`),
  merge: (left, right) => left + right,
  migrate: ({ state }, from) => (from === 1 ? `${text(state)}+` : state.subarray(0, state.length - 1)),
};

const groups = (windows) => ({
  keys: column(["a", "b", "c", "d"]),
  states: column(["\x01", "\x07", null, "\x62"]),
  starts: windows ? [0n, 0n, 0n, 0n] : [],
  ends: windows ? [5n, 5n, 5n, 5n] : [],
  offsets: [0, 3, 4, 5, 6],
  members: [0, 1, 2, 1, 1, 0],
});

test("groups are folded, scanned and finished", () => {
  const given = batch("ab", null, "c");
  const folded = folding.add(lengths, groups(), given);
  assert.deepEqual(shown(folded.states), ["\x04", "\x07", null, null]);
  assert.deepEqual(folded.rejected.map(({ index }) => index), [1, 3, 4]);
  assert.deepEqual(shown(folding.scan(lengths, groups(true), given).values), ["a5:3", null, "a5:4", null, null, "d5:100"]);
  assert.deepEqual(shown(folding.finish(lengths, groups())), ["a:1", "b:7", null, "d:98"]);
  assert.deepEqual(shown(folding.remove(lengths, groups(), batch("a", "", "")).states).slice(0, 2), ["\x00", "\x07"]);
});

test("states are merged and migrated, and nulls stay", () => {
  const merged = folding.merge(lengths, column(["\x01", null, "\x01", null]), column(["\x02", "\x02", null, null]));
  assert.deepEqual(shown(merged), ["\x03", "\x02", "\x01", null]);
  assert.throws(() => folding.merge(lengths, column(["\x01"]), column([""])), /no byte/);
  const keys = column(["k", "l", "m"]);
  const current = migrate(lengths, "", 1, 2, keys, column(["a", null, ""]));
  assert.deepEqual(shown(current), ["a+", null, "+"]);
  assert.deepEqual(shown(migrate(lengths, "", 2, 1, keys, current)), ["a", null, ""]);
  for (const [from, to] of [[0, 2], [2, 0], [1, 1], [2, 2]]) {
    assert.throws(() => migrate(lengths, "", from, to, keys, current), /no way from layout/);
  }
});

test("pairs are joined and results routed", () => {
  const both = ({ left, right }) => {
    if (left === null) throw new Reject("nothing on the left");
    return right === null ? undefined : text(left) + text(right);
  };
  const joined = single.join(both, column(["a", "b", null]), column(["1", "2", null]), column(["x", null, "y"]));
  assert.deepEqual([shown(joined.values), joined.rejected], [["1x", null, null], [{ index: 2, reason: "nothing on the left" }]]);
  const routed = single.route((record) => [record.text, record.text.length], true, batch("abc", null, "a"));
  assert.deepEqual([shown(routed.topics), [...routed.partitions], routed.rejected.length], [["abc", null, "a"], [3, 0, 1], 1]);
  assert.equal(single.route(() => null, false, batch("a")).partitions, null);
});

beforeEach(() => {
  exported.clear();
  described.length = 0;
});

test("a program exports what it registers", () => {
  aggregator(lengths);
  assert.deepEqual(interfaces(), ["aggregator", "merger", "migrator", "retractor"]);
  exported.clear();
  scanner(lengths);
  assert.deepEqual(interfaces(), ["migrator", "scanner"]);
  assert.equal(exported.get("migrator"), lengths);
  const { migrate: _, ...without } = lengths;
  exported.clear();
  scanner(without);
  assert.deepEqual(interfaces(), ["scanner"]);
});

test("a function is started by its name and settings", () => {
  functions({
    name: "longer",
    interfaces: ["filter"],
    start(settings) {
      const least = Number(settings.required("least"));
      filter(({ value }) => value.length >= least);
    },
  });
  assert.deepEqual(interfaces(), ["filter", "lifecycle"]);
  start("", [["least", "2"]]);
  assert.deepEqual([...single.keep(exported.get("filter"), batch("a", "abc")).bits], [2]);
  assert.throws(() => start("longer", []), /the setting `least` is missing/);
  assert.throws(() => start("longer", [["least", "2"], ["last", "3"]]), /there is no setting `last`; there are `least`/);
  assert.throws(() => start("shorter", []), /there is no function `shorter` in this file; there are `longer`/);
});

test("the copy of the contract is the contract", () => {
  const [copy, original] = ["../wit/udf.wit", "../../../wit/udf.wit"].map((path) => new URL(path, import.meta.url));
  assert.match(readFileSync(copy, "utf8"), /package millstream:udf@0.1.0;/);
  if (existsSync(original)) assert.equal(readFileSync(copy, "utf8"), readFileSync(original, "utf8"));
});
