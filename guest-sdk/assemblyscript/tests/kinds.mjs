//! Headers, facts, settings, routers, joiners, scanners: node kinds.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../testing.mjs";

const file = process.argv[2];
const guest = await load(file);
const values = (...all) => all.map((value) => ({ value }));

// Headers are the record's own until one is added or taken.
const own = (count) => [...Array(count).keys()].map((i) => [["own", `${i}`]]);
guest.facts = { headers: own(2) };
assert.ok(guest.apply(values("a", "b")).results.every((result) => !("headers" in result)));
assert.equal(guest.asked, 0);
guest.facts = { headers: own(7) };
const marked = guest.apply(values("a", "drop", "bad", "add", "bare", "two", "b"));
assert.deepEqual(marked.rejected, [{ index: 2, rejected: "it is bad" }]);
assert.deepEqual(marked.results.map(({ headers }) => headers), [
  [["own", "0"]],
  [["own", "3"], ["new", null]],
  [],
  [["own", "5"], ["first", "1"]],
  [["second", "2"]],
  [["own", "6"]],
]);
assert.equal(guest.asked, 1);
// Opened where records were dropped before.
guest.facts = { headers: own(3) };
assert.deepEqual(guest.apply(values("drop", "a", "add")).results.map(({ headers }) => headers[0]), [["own", "1"], ["own", "2"]]);
// Where records have none, a result has only what is added; a refused one leaves none, first or last.
guest.facts = {};
assert.deepEqual(guest.apply(values("a", "add")).results.map(({ headers }) => headers), [[], [["new", null]]]);
assert.deepEqual(guest.apply(values("bad", "a", "bad")).results.map(({ headers }) => headers), [[]]);
assert.equal(guest.apply(values(...Array(32).fill("large"))).taken, 8);
assert.throws(() => guest.apply(values("a", "orphan")), WebAssembly.RuntimeError);
assert.match(guest.lines.at(-1)[1], /emit the result first/);

// Facts belong to their records.
guest.facts = {
  headers: [[["a", "1"], ["b", null]], [["a", ""]]],
  streamTimes: [5, 15],
  windows: [[0, 10], [10, 20]],
  inputs: [1, 0],
};
guest.asked = 0;
const shown = () => guest.apply(values("facts", "facts")).results.map(({ value }) => value);
assert.deepEqual(shown(), ["a=1 b=- at 5 0..10 from 1", "a= at 15 10..20 from 0"]);
assert.equal(guest.asked, 4, "each is asked for once a call");
guest.facts = {};
assert.deepEqual(shown(), ["at 0 from 0", "at 0 from 0"]);

// Settings.
assert.deepEqual(guest.functions(), [
  { name: "longer", interfaces: ["filter"], details: { summary: "Long ones.", "settings-schema": "{}" } },
  { name: "partitioned", interfaces: ["router", "mapper"], details: {} },
  { name: "named", interfaces: ["scanner"], details: {} },
]);
const bounds = "a whole number from -5 to 100 is wanted";
for (const [name, settings, reason] of [
  ["longer", { name: "n", last: "3" }, "there is no setting `last`; there are `least`, `name`"],
  ["longer", {}, "the setting `name` is missing"],
  ["longer", { name: "", least: "0" }, "never"],
  ...["x", "", "-", "1x", "-6", "101", "1234567890123456789", "18446744073709551626"].map((least) => ["longer", { least }, `the setting \`least\` is \`${least}\`: ${bounds}`]),
  ["named", { least: "3" }, "it takes no settings, and `least` was given"],
  ["shorter", {}, "there is no function `shorter` in this file; there are `longer`, `partitioned`, `named`"],
  ["", {}, "which of its functions is meant: `longer`, `partitioned`, `named`?"],
]) {
  assert.throws(() => guest.start(name, settings), { message: reason });
}
guest.start("longer", { least: "2", name: "é" });
assert.throws(() => guest.start("longer", { name: "" }), /started before/);
// Of headers with one name the last counts; what was learned stays.
guest.facts = { headers: [[["user", "a"], ["user", "bb"], ["x", null]], [["user", "bb"], ["user", null]], [], [["user", "b"]]] };
for (let call = 0; call < 3; call++) assert.deepEqual(guest.keep(values("", "", "", "")), [true, false, false, false]);
guest.facts = {};

// Each result has a topic, the sink's own or a reason.
assert.deepEqual(guest.route(values("error", "debug", "", null, Uint8Array.of(0xff), "é")), {
  topics: ["error", null, null, null, null, "é"],
  partitions: null,
  rejected: ["an empty line", "the record has no value", "the value is not UTF-8"].map((rejected, i) => ({ index: 2 + i, rejected })),
});
const partitioned = await load(file);
partitioned.start("partitioned");
partitioned.facts = { windows: [[0, 1]] };
assert.deepEqual(partitioned.route(values("abc", "")), { topics: ["windowed", null], partitions: [3, 0], rejected: [] });
assert.deepEqual(partitioned.route([]), { topics: [], partitions: [], rejected: [] });

// What is UTF-8, and what is not.
const isText = (...bytes) => guest.route([{ value: Uint8Array.from(bytes) }]).rejected.length === 0;
for (const text of ["a", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\u{10000}", "\u{10ffff}"]) {
  const bytes = new TextEncoder().encode(text);
  assert.ok(isText(...bytes) && isText(0x61, ...bytes, 0x61), text);
  if (bytes.length > 1) assert.ok(!isText(...bytes.slice(0, -1)) && !isText(...bytes.slice(0, -1), 0x61), text);
}
for (const bytes of [[0x80], [0xc1, 0xbf], [0xe0, 0x9f, 0xbf], [0xed, 0xa0, 0x80], [0xf0, 0x8f, 0xbf, 0xbf], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe1, 0x80, 0xc0]]) {
  assert.ok(!isText(...bytes), `${bytes}`);
}

// Each pair has a value, none or a reason.
const pairs = [{ key: "a", left: "1", right: "x" }, { key: "b", left: "2" }, { right: "y" }, { key: "d", left: "", right: "" }];
assert.deepEqual(guest.join(pairs), { values: ["1x", null, null, ""], rejected: [{ index: 2, rejected: "nothing on the left" }] });
assert.deepEqual(guest.join([]), { values: [], rejected: [] });

// After each record leaves what is so far, and nothing after one that is refused.
const scanned = guest.scan(values("ab", null, "c", "d"), Uint8Array.of(4));
assert.deepEqual(scanned, {
  state: Uint8Array.of(8),
  values: ["k6", null, null, "k8"],
  rejected: [{ index: 1, rejected: "the record has no value" }],
});
assert.deepEqual(guest.scan(values("")), { state: null, values: ["k0"], rejected: [] });
assert.throws(() => guest.scan(values("a"), ""), /a state has a byte/);
