//! The aggregate as a host calls it: node test.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../../guest-sdk/assemblyscript/testing.mjs";

const guest = await load(process.argv[2]);
const { state, rejected } = guest.add([{ value: "ab" }, { value: null }, { value: "cde" }]);
assert.deepEqual(rejected, []);
assert.deepEqual(guest.finish(guest.merge([state, state, null], [state, null, null])), ["6 records, 10 bytes", "3 records, 5 bytes", null]);
assert.deepEqual(guest.finish([guest.add([{ value: "x" }], state).state]), ["4 records, 6 bytes"]);

assert.deepEqual(guest.describe(), { current: 1, reads: [0], writes: [0] });
const old = [Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0), null];
const now = guest.migrate(0, 1, old);
assert.deepEqual(guest.finish(now), ["3 records, 0 bytes", null]);
assert.deepEqual(guest.migrate(1, 0, now), old);
assert.throws(() => guest.migrate(2, 1, old), /no way from layout 2 to 1/);
for (const wrong of ["", "1234567", "123456789"]) {
  assert.throws(() => guest.migrate(0, 1, [wrong]), /8 bytes/);
  assert.throws(() => guest.add([{ value: "a" }], wrong), /two counts/);
}
