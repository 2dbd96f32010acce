//! {{name}} as a host calls it.

import assert from "node:assert/strict";
import { load } from "millstream-assemblyscript/testing";

const guest = await load("build/core.wasm");
const { results, rejected } = guest.apply([{ value: "GET /index.html" }, { value: " " }]);
assert.deepEqual(results, [{ source: 0, key: "GET", value: "GET /index.html", timestamp: 0, port: 0 }]);
assert.deepEqual(rejected, [{ index: 1, rejected: "the value has no word" }]);
