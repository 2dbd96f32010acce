// What millstream-build says when it cannot begin. What it builds is tested where there is a host.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { entry, world } from "../src/program.js";

// A copy of it, with no tools in any folder above.
const place = mkdtempSync(join(tmpdir(), "millstream-build-test-"));
after(() => rmSync(place, { recursive: true }));
for (const part of ["bin", "package.json", "src"]) {
  cpSync(fileURLToPath(new URL(`../${part}`, import.meta.url)), join(place, part), { recursive: true });
}

function run(...words) {
  const env = { ...process.env };
  delete env.MILLSTREAM_NODE_MODULES;
  const { status, stderr } = spawnSync(process.execPath, [join(place, "bin/millstream-build.js"), ...words], { cwd: place, env });
  return [status, String(stderr).trim()];
}

test("what is not understood gets the usage", () => {
  const usage = "usage: millstream-build FILE.js|FILE.ts -o OUT.wasm [--engine quickjs|spidermonkey]";
  for (const words of [
    [],
    ["a.js"],
    ["-o", "a.wasm"],
    ["a.js", "-o"],
    ["a.js", "b.js", "-o", "a.wasm"],
    ["a.js", "-o", "--engine"],
    ["a.js", "-o", "a.wasm", "--engine"],
    ["a.js", "-o", "a.wasm", "--engine", "v8"],
    ["a.js", "-o", "a.wasm", "--engine", "toString"],
    ["--fast", "a.js", "-o", "a.wasm"],
  ]) {
    assert.deepEqual(run(...words), [2, usage], words.join(" "));
  }
});

test("a tool that is missing is named with what installs it, and what that needs", () => {
  const [status, said] = run("a.js", "-o", "a.wasm");
  assert.equal(status, 1);
  assert.match(said, /^millstream-build: esbuild is missing: npm install esbuild@\d+\.\d+\.\d+$/);
  mkdirSync(join(place, "node_modules/esbuild/lib"), { recursive: true });
  writeFileSync(join(place, "node_modules/esbuild/lib/main.js"), "");
  assert.match(run("a.js", "-o", "a.wasm")[1], /: componentize-qjs is missing: npm install componentize-qjs@[\d.]+$/);
  const other = run("a.js", "-o", "a.wasm", "--engine", "spidermonkey")[1];
  assert.match(other, /componentize-js is missing: npm install @bytecodealliance\/componentize-js@[\d.]+ @bytecodealliance\/preview2-shim@[\d.]+$/);
});

test("a component imports stores where there is a processor, and timers where one fires", () => {
  const lines = (word, ...interfaces) => {
    const found = world(interfaces).matchAll(new RegExp(`${word} millstream:udf/(.*)@0.1.0;`, "g"));
    return [...found].map(([, name]) => name);
  };
  assert.deepEqual(lines("import", "aggregator", "lifecycle", "merger"), ["context", "log"]);
  assert.deepEqual(lines("import", "processor"), ["context", "log", "state"]);
  assert.deepEqual(lines("import", "on-timer", "processor"), ["context", "log", "state", "timers"]);
  assert.deepEqual(lines("export", "on-timer", "processor"), ["on-timer", "processor"]);
  const exports = entry("/program.js", ["filter", "on-timer", "processor"]).split("\n").slice(1, -1);
  const shown = exports.map((line) => line.replace(/^export (.*) from ".*\/(.*)";$/, "$1 $2"));
  assert.deepEqual(shown, ["{ filter } component.js", "{ onTimer } component-on-timer.js", "{ processor } component-processor.js"]);
});
