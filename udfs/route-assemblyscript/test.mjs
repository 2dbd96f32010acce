//! The router as a host calls it: node test.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../../guest-sdk/assemblyscript/testing.mjs";

const guest = await load(process.argv[2]);
const values = ["User: Alice, Action: Login", "Action: A, Action: \t Log OUT ", "no such thing", "Action: Z[@", "User: Alice, Action: ", null];
assert.deepEqual(guest.route(values.map((value) => ({ value }))), {
  topics: ["action-login", "action-log out", null, "action-z[@", null, null],
  partitions: null,
  rejected: [{ index: 4, rejected: "the action is empty" }, { index: 5, rejected: "the record has no value" }],
});
assert.deepEqual(guest.route([]), { topics: [], partitions: null, rejected: [] });
