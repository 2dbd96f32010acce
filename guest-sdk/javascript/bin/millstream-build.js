#!/usr/bin/env node
// `millstream-build FILE.js|FILE.ts -o OUT.wasm`: makes a component of a program. esbuild puts the program and the SDK into one
// module and erases types; the program is loaded once to see what it exports; the engine's own tool adds the engine.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { entry, world } from "../src/program.js";

const sdk = dirname(dirname(fileURLToPath(import.meta.url)));

/** The engines, each with what makes a component of a module: `(module, its file, folder of the WIT) => bytes`. */
const ENGINES = {
  async quickjs() {
    const { componentize } = await tool("componentize-qjs", "index.js");
    return async (source, file, witPath) => {
      const made = { witPath, world: "program", jsSource: source, jsPath: file, moduleRoot: dirname(file) };
      // Without what is asynchronous in components, which no function of the contract is.
      return (await componentize({ ...made, sync: true })).component;
    };
  },
  async spidermonkey() {
    const shim = "@bytecodealliance/preview2-shim";
    const { componentize } = await tool("@bytecodealliance/componentize-js", "src/componentize.js", shim);
    return async (_source, sourcePath, witPath) => {
      // No part of the engine then asks a system for anything.
      const disableFeatures = ["stdio", "random", "clocks", "http", "fetch-event"];
      return (await componentize({ sourcePath, witPath, worldName: "program", disableFeatures })).component;
    };
  },
};

/** A tool's module: in MILLSTREAM_NODE_MODULES, or a `node_modules` above this file or the folder at hand. `beside`: what it needs
 * and does not bring. */
async function tool(name, entry, ...beside) {
  const above = (folder) => (folder === dirname(folder) ? [] : [join(folder, "node_modules"), ...above(dirname(folder))]);
  const folders = [process.env.MILLSTREAM_NODE_MODULES, ...above(sdk), ...above(process.cwd())];
  const found = folders.map((folder) => folder && join(folder, name, entry)).find((file) => file && existsSync(file));
  if (!found) throw new Error(`${name} is missing: npm install ${[name, ...beside].map(versioned).join(" ")}`);
  return import(pathToFileURL(found).href);
}

/** A tool with the version that this SDK is tested with, as npm takes it. */
function versioned(name) {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(sdk, "package.json"), "utf8"));
  return `${name}@${{ ...dependencies, ...peerDependencies }[name]}`;
}

/** The program as one module. */
async function bundle(esbuild, source, options) {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: source, resolveDir: process.cwd(), loader: "js" },
    alias: { "millstream-sdk": join(sdk, "src/index.js") },
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
    ...options,
  });
  return outputFiles[0].text;
}

async function build({ file, out, engine }) {
  const esbuild = (await tool("esbuild", "lib/main.js")).default;
  const componentize = await ENGINES[engine]();
  const scratch = mkdtempSync(join(tmpdir(), "millstream-build-"));
  try {
    const program = resolve(file);
    const registry = `export { interfaces } from ${JSON.stringify(join(sdk, "src/registry.js"))};\n`;
    const native = join(scratch, "native.mjs");
    writeFileSync(native, await bundle(esbuild, entry(program, []) + registry, { platform: "node" }));
    const interfaces = (await import(pathToFileURL(native).href)).interfaces();
    if (interfaces.length === 0) throw new Error(`${file} exports nothing: give a function to filter, mapper, …`);
    const wit = join(scratch, "wit/deps/millstream-udf");
    mkdirSync(wit, { recursive: true });
    cpSync(join(sdk, "wit/udf.wit"), join(wit, "udf.wit"));
    writeFileSync(join(scratch, "wit/world.wit"), world(interfaces));
    const module = join(scratch, "program.js");
    const source = await bundle(esbuild, entry(program, interfaces), { conditions: ["millstream"], external: ["millstream:*"] });
    writeFileSync(module, source);
    writeFileSync(out, await componentize(source, module, join(scratch, "wit")));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const USAGE = `usage: millstream-build FILE.js|FILE.ts -o OUT.wasm [--engine ${Object.keys(ENGINES).join("|")}]`;

/** What is asked for, or null. */
function asked(words) {
  const given = { engine: "quickjs" };
  while (words.length > 0) {
    const word = words.shift();
    const name = { "-o": "out", "--engine": "engine" }[word] ?? "file";
    const value = name === "file" ? word : words.shift();
    if (value === undefined || value.startsWith("-") || (name === "file" && given.file)) return null;
    given[name] = value;
  }
  return given.file && given.out && Object.hasOwn(ENGINES, given.engine) ? given : null;
}

const given = asked(process.argv.slice(2));
if (!given) {
  console.error(USAGE);
  process.exit(2);
}
try {
  await build(given);
} catch (error) {
  console.error(`millstream-build: ${error.message}`);
  process.exit(1);
}
