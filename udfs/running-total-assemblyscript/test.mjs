//! The scan as a host calls it: node test.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../../guest-sdk/assemblyscript/testing.mjs";

const file = process.argv[2];
const started = async (settings) => {
  const guest = await load(file);
  guest.start("running-total", settings);
  return guest;
};

// Each record has the sum so far, and refused ones have none.
const records = (...values) => values.map((value) => ({ value }));
const byField = await started({ field: "n" });
const { state, values, rejected } = byField.scan(records('{"n": 0.1}', '{"other": 1}', '{"n": 0.2}', '{"n":-5}'));
assert.deepEqual([values, rejected.map(({ index }) => index)], [["0.1", null, "0.3", "-4.7"], [1]]);
assert.deepEqual(byField.scan(records('{"n": 5}'), state).values, ["0.3"]);

// The state is the sum, the low byte first.
const whole = await started({});
const small = whole.scan(records("-0.000000002")).state;
assert.deepEqual(small, Uint8Array.of(0xfe, ...Array(15).fill(0xff)));
assert.deepEqual(whole.scan(records("1"), small).values, ["0.999999998"]);
assert.throws(() => whole.scan(records("1"), "12"), { message: "a number has 16 bytes, this state has 2" });

// Numbers are read and written without rounding.
const one = (guest, value) => {
  const scanned = guest.scan(records(value));
  return scanned.rejected.length ? scanned.rejected[0].rejected : scanned.values[0];
};
for (const [text, expected] of [
  ["0", "0"],
  ["-0.0", "0"],
  ["0e999999999999", "0"],
  ["12", "12"],
  ["-12.50", "-12.5"],
  ["-0.25", "-0.25"],
  ["100", "100"],
  ["0.000000010", "0.00000001"],
  ["1.5e3", "1500"],
  ["1.5e+3", "1500"],
  ["15E-1", "1.5"],
  ["1000e-9", "0.000001"],
  ["0.1234567890", "0.123456789"],
  ["9999999999999999999", "9999999999999999999"],
  ["-12345678901234567890.5", "-12345678901234567890.5"],
  ["170141183460469231731687303715.884105727", "170141183460469231731687303715.884105727"],
  ["-170141183460469231731687303715.884105727", "-170141183460469231731687303715.884105727"],
  ['"1"', "the value is not a number"],
  ["true", "the value is not a number"],
  ["1e99999999999", "the value is not a number"],
  ["0.0000000001", "the value has more than 9 decimals"],
  ["1e-99999", "the value has more than 9 decimals"],
  ["1e-2147483648", "the value has more than 9 decimals"],
  ["1e30", "the value is too large"],
  ["1e2147483647", "the value is too large"],
  ["170141183460469231731687303716", "the value is too large"],
  ["9999999999999999999999999999999999999999", "the value has too many digits"],
]) {
  assert.equal(one(whole, text), expected, text);
}
const least = Uint8Array.of(...Array(15).fill(0), 0x80);
assert.deepEqual(whole.scan(records("0"), least).values, ["-170141183460469231731687303715.884105728"]);
for (const [from, text] of [[least, "-0.000000001"], [Uint8Array.of(...Array(15).fill(0xff), 0x7f), "0.000000001"]]) {
  const full = whole.scan(records(text), from);
  assert.deepEqual([full.state, full.rejected[0].rejected], [from, "the sum would be too large"]);
}
// Sums over the whole range, beside those of numbers without bounds.
let seed = 1n;
const random = () => (seed = (seed * 6364136223846793005n + 1442695040888963407n) % (1n << 64n)) >> 1n;
const shown = (units) => {
  const digits = (units < 0n ? -units : units).toString().padStart(10, "0");
  return (units < 0n ? "-" : "") + `${digits.slice(0, -9)}.${digits.slice(-9)}`.replace(/\.?0+$/, "");
};
for (let i = 0; i < 300; i++) {
  const pair = [0, 1].map(() => (((random() << 64n) | random()) >> (random() % 126n)) * (random() % 2n ? 1n : -1n));
  const [first, sum] = [pair[0], pair[0] + pair[1]];
  const fits = sum < 1n << 127n && sum >= -(1n << 127n);
  assert.deepEqual(whole.scan(records(...pair.map(shown))).values, [shown(first), fits ? shown(sum) : null], `${pair}`);
}

// A field is found at its path; the last of a name counts, escapes are read.
const value = ' {"a": {"n": 1.50, "m": [2, {}, [], [[{"x":[null,true,false,"\\u12aB\\\\"]}]]]}, "n": "x", "\\u006e": 7, "o": {"n": 3}, "\\ud83d\\ude00/\\n": 8 } \r\n\t';
for (const [field, expected] of [["a.n", "1.5"], ["n", "7"], ["😀/\n", "8"], ["o.n", "3"]]) {
  assert.equal(one(await started({ field }), value), expected, field);
}
for (const field of ["b", "a.x", "n.m", "a.m.n"]) {
  assert.equal(one(await started({ field }), value), `the value has no field \`${field}\``);
}
const byA = await started({ field: "a" });
for (const text of [
  "", " ", "x", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', "{a:1}", '{"a":1} x', '{"a":01}', '{"a":1.}', '{"a":.5}', '{"a":-}',
  '{"a":1e}', '{"a":tru}', '{"a":[1,]}', '{"a":[1 2]}', '{"a":{"b"}}', '{"a":[}', '{"a":"', '{"a":"\n"}', '{"a":"\\x"}', '{"a":"\\u12g4"}',
  '{"a":"\\u12:4"}', '{"a":"\\u12@4"}', '{"a":"\\u1', '{"\\ud800":1}', '{"\\udc00":1}', '{"\\ud800\\u0041":1}', '{"a":+1}', '{"a":"\\',
]) {
  assert.equal(one(byA, text), "the value is not JSON", text);
}
assert.equal(one(byA, Uint8Array.from([..."{\"\u00ff\":1}"].map((c) => c.charCodeAt(0)))), "the value is not JSON");
assert.equal(one(byA, null), "the record has no value");
assert.equal(one(byA, "{}"), "the value has no field `a`");
assert.equal(one(byField, '{"m":' + "[".repeat(100_000) + "]".repeat(100_000) + ',"n":1}'), "1");
assert.equal(one(byField, "[".repeat(100_000)), "the value has no field `n`");
assert.equal(one(whole, "[".repeat(100_000)), "the value is not JSON");

// A path with an empty name is refused.
const guest = await load(file);
for (const field of ["", "a.", ".a", "a..b"]) {
  assert.throws(() => guest.start("", { field }), { message: `the setting \`field\` is \`${field}\`: between dots there are names, as in \`user.age\`` });
}
