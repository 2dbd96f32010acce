#!/usr/bin/env node
// `millstream-build FILE.js|FILE.ts -o OUT.wasm`: makes a component of a program. esbuild puts the program and the SDK into one
// module and erases types; the program is loaded once to see what it exports; componentize-js adds the engine.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const sdk = dirname(dirname(fileURLToPath(import.meta.url)));
const VERSION = "0.1.0";

/** A tool's module: in MILLSTREAM_NODE_MODULES, or a `node_modules` above this file or the folder at hand. */
async function tool(name, entry) {
  const above = (folder) => (folder === dirname(folder) ? [] : [join(folder, "node_modules"), ...above(dirname(folder))]);
  const folders = [process.env.MILLSTREAM_NODE_MODULES, ...above(sdk), ...above(process.cwd())];
  const found = folders.map((folder) => folder && join(folder, name, entry)).find((file) => file && existsSync(file));
  if (!found) throw new Error(`${name} is missing: npm install ${name}`);
  return import(pathToFileURL(found).href);
}

/** The program as one module. */
async function bundle(esbuild, source, options) {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: source, resolveDir: process.cwd(), loader: "js" },
    alias: { "millstream-sdk": join(sdk, "src/index.js"), "millstream-sdk/component": join(sdk, "src/component.js") },
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
    ...options,
  });
  return outputFiles[0].text;
}

/** The world of a component that exports these. */
function world(interfaces) {
  const lines = ["context", "log"].map((name) => `import millstream:udf/${name}@${VERSION};`);
  lines.push(...interfaces.map((name) => `export millstream:udf/${name}@${VERSION};`));
  return `package millstream:program;\nworld program {\n  ${lines.join("\n  ")}\n}\n`;
}

async function build(file, out) {
  const esbuild = (await tool("esbuild", "lib/main.js")).default;
  const { componentize } = await tool("@bytecodealliance/componentize-js", "src/componentize.js");
  const scratch = mkdtempSync(join(tmpdir(), "millstream-build-"));
  try {
    const program = `import ${JSON.stringify(resolve(file))};\n`;
    const registry = `export { interfaces } from ${JSON.stringify(join(sdk, "src/registry.js"))};\n`;
    const native = join(scratch, "native.mjs");
    writeFileSync(native, await bundle(esbuild, program + registry, { platform: "node" }));
    const interfaces = (await import(pathToFileURL(native).href)).interfaces();
    if (interfaces.length === 0) throw new Error(`${file} exports nothing: give a function to filter, mapper, …`);
    const wit = join(scratch, "wit/deps/millstream-udf");
    mkdirSync(wit, { recursive: true });
    cpSync(join(sdk, "wit/udf.wit"), join(wit, "udf.wit"));
    writeFileSync(join(scratch, "wit/world.wit"), world(interfaces));
    const entry = `${program}export { ${interfaces.join(", ")} } from "millstream-sdk/component";\n`;
    const source = join(scratch, "program.js");
    writeFileSync(source, await bundle(esbuild, entry, { conditions: ["millstream"], external: ["millstream:*"] }));
    const { component } = await componentize({
      sourcePath: source,
      witPath: join(scratch, "wit"),
      worldName: "program",
      // No part of the engine then asks a system for anything: the component imports nothing but the contract.
      disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
    });
    writeFileSync(out, component);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const [file, flag, out, ...rest] = process.argv.slice(2);
if (!file || flag !== "-o" || !out || rest.length > 0) {
  console.error("usage: millstream-build FILE.js|FILE.ts -o OUT.wasm");
  process.exit(2);
}
try {
  await build(file, out);
} catch (error) {
  console.error(`millstream-build: ${error.message}`);
  process.exit(1);
}
