import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, Record, Reject, text } from "millstream-sdk";
import { extractIp, milliseconds, parse } from "./extract-ip";

const LINE = "[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login";

test("address and time of a line", () => {
  const { key, timestamp, ...others } = extractIp(Record.of({ value: LINE }));
  assert.deepEqual([text(key), timestamp, others], ["192.168.1.1", 1_619_879_400_000, {}]);
});

test("times", () => {
  const cases = {
    "1970-01-01 00:00:00": 0,
    "0000-01-01 00:00:00": -62_167_219_200_000,
    "9999-12-31 23:59:59": 253_402_300_799_000,
    "2000-02-29 23:59:59": 951_868_799_000,
    "2024-03-01 00:00:00": 1_709_251_200_000,
    "1900-02-29 00:00:00": null,
    "2021-13-01 00:00:00": null,
    "2021-00-01 00:00:00": null,
    "2021-04-31 00:00:00": null,
    "2021-05-01 24:00:00": null,
    "2021-05-0x 10:00:00": null,
    "2021-05-01T10:00:00": null,
  };
  for (const [written, expected] of Object.entries(cases)) assert.equal(milliseconds(written), expected, written);
});

test("a line that does not parse says why", () => {
  const cases = {
    "": "the line does not start with [YYYY-MM-DD hh:mm:ss]",
    "[2021-05-01 14:30:00": "the line does not start with [YYYY-MM-DD hh:mm:ss]",
    [LINE.replace("05-01", "05-32")]: "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss",
    "[1969-12-31 23:59:59] IP: ::1": "the bracketed time is before 1970",
    "[2021-05-01 14:30:00] User: Alice": "the line has no field IP",
    "[2021-05-01 14:30:00] IP: , User: Alice": "the field IP is empty",
  };
  for (const [line, message] of Object.entries(cases)) assert.throws(() => parse(bytes(line)), new Reject(message), line);
});
