import assert from "node:assert/strict";
import { test } from "node:test";
import { Record, Reject } from "millstream-sdk";
import { keep } from "./function";

test("logins are kept", () => {
  assert.equal(keep(Record.of({ value: "User: Alice, Action: Login" })), true);
  assert.equal(keep(Record.of({ value: "User: Alice, Action: Logout" })), false);
  assert.throws(() => keep(Record.of({ value: new Uint8Array([255]) })), Reject);
});
