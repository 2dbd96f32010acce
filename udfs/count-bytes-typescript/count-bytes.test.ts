import assert from "node:assert/strict";
import { test } from "node:test";
import { column, items, migrate, Record } from "millstream-sdk";
import { countBytes } from "./count-bytes";

test("records and bytes are counted", () => {
  const state = ["ab", "", "cde"].reduce((state, value) => countBytes.add(state, Record.of({ value })), countBytes.start());
  assert.equal(countBytes.finish(countBytes.merge(state, state)), "6 records, 10 bytes");
});

test("states of count are read and written back", () => {
  const old = column([new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0]), null]);
  const keys = column(["a", "b"]);
  const current = migrate(countBytes, "", 0, 1, keys, old);
  assert.deepEqual([countBytes.decode(items(current)[0]!), items(current)[1]], [[3n, 0n], null]);
  assert.deepEqual(migrate(countBytes, "", 1, 0, keys, current), old);
  for (const wrong of ["1234567", "123456789"]) {
    assert.throws(() => countBytes.decode(items(column([wrong]))[0]!), /16 bytes/);
    assert.throws(() => migrate(countBytes, "", 0, 1, keys, column([wrong])), /8 bytes/);
  }
});
