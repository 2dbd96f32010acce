import assert from "node:assert/strict";
import { test } from "node:test";
import { Record } from "millstream-sdk";
import { told } from "./surroundings.js";

test("what is asked for is told", () => {
  assert.equal(told(Record.of({ value: "record", timestamp: 7, streamTime: 9, input: 1 })).value, "[7,0,9,1]");
  assert.match(told(Record.of({ value: "random" })).value, /^0\.\d{6} 0\.\d{6}$/);
  assert.equal(told(Record.of({ value: "litter" })).value, "undefined");
  assert.throws(() => told(Record.of({ value: "throw an error" })), TypeError);
  assert.throws(() => told(Record.of({ value: "hasOwnProperty" })), /nobody knows/);
});
