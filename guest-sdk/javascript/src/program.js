// What a component is made of that exports some of the contract's interfaces: its world, and the module that is its root. Not how
// either becomes a component.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const VERSION = "0.1.0";

/** What it imports of the host. Stores and timers only where there is something that has them: else a host need not have them. */
function imports(interfaces) {
  const isTimed = interfaces.includes("on-timer");
  const hasStores = isTimed || interfaces.includes("processor");
  return ["context", "log", ...(hasStores ? ["state"] : []), ...(isTimed ? ["timers"] : [])];
}

/** The world of a component that exports these. */
export function world(interfaces) {
  const named = (word, names) => names.map((name) => `${word} millstream:udf/${name}@${VERSION};`);
  const lines = [...named("import", imports(interfaces)), ...named("export", interfaces)];
  return `package millstream:program;\nworld program {\n  ${lines.join("\n  ")}\n}\n`;
}

/** An interface as JavaScript names it. */
const inCamel = (name) => name.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase());

/** The module of this SDK that answers for an interface: what imports more than others do is in one of its own. */
function answering(name) {
  const file = ["processor", "on-timer"].includes(name) ? `component-${name}.js` : "component.js";
  return join(dirname(fileURLToPath(import.meta.url)), file);
}

/** The module that loads a program's file and exports what answers for these. */
export function entry(file, interfaces) {
  const exports = interfaces.map((name) => `export { ${inCamel(name)} } from ${JSON.stringify(answering(name))};\n`);
  return `import ${JSON.stringify(file)};\n${exports.join("")}`;
}
