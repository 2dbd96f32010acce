//! The filter as a host calls it: node test.mjs MODULE.wasm

import assert from "node:assert/strict";
import { load } from "../../guest-sdk/assemblyscript/testing.mjs";

const guest = await load(process.argv[2]);
const values = ["[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice", "IP:", "IP 192.168.1.1", "IP", "", null, "I", "P:", "xIP:"];
const kept = [true, true, false, false, false, false, false, false, true];
for (let call = 0; call < 3; call++) assert.deepEqual(guest.keep(values.map((value) => ({ value }))), kept);
assert.deepEqual(guest.keep([]), []);

// What a call took is used again by the next.
const many = [...Array(10_000)].map(() => ({ value: "User: Alice, IP: 1.2.3.4" }));
guest.keep(many);
const size = guest.exports.memory.buffer.byteLength;
for (let call = 0; call < 50; call++) guest.keep(many);
assert.equal(guest.exports.memory.buffer.byteLength, size);
