//! The filter as a host calls it: node test.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../../guest-sdk/assemblyscript/testing.mjs";

const guest = await load(process.argv[2]);
assert.throws(() => guest.start("", {}), { message: "the setting `action` is missing" });
assert.throws(() => guest.start("", { action: "a", acton: "b" }), { message: "there is no setting `acton`; there are `action`" });
guest.start("only-action", { action: "Logout" });

const values = ["User: Alice, Action: Login", "User: Alice, Action: Logout", "Action: Logout", "ction: Logout", "", null, Uint8Array.of(0xff)];
const kept = [false, true, true, false, false, { rejected: "the record has no value" }, { rejected: "the value is not UTF-8" }];
// What was learned stays, whatever the collector does.
for (let call = 0; call < 100; call++) assert.deepEqual(guest.keep(values.map((value) => ({ value }))), kept);
const [function_] = guest.functions();
assert.deepEqual([function_.name, function_.interfaces, JSON.parse(function_.details["settings-schema"]).required], ["only-action", ["filter"], ["action"]]);
