import assert from "node:assert/strict";
import { test } from "node:test";
import { Record } from "millstream-sdk";
import { onlyIp } from "./only-ip";

test("lines with an address are kept", () => {
  for (const value of ["[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice", "IP:", "IIP:"]) {
    assert.equal(onlyIp(Record.of({ value })), true, value);
  }
  for (const value of ["IP 192.168.1.1", "IP", "", null]) assert.equal(onlyIp(Record.of({ value })), false, value ?? "null");
});
