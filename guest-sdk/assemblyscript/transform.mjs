//! For asc's --transform: gives the SDK's exports the names that the contract has for them, which no AssemblyScript
//! function could have: `ms__filter__keep` becomes `millstream:udf/filter@0.1.0#keep`. Imports nothing, so that it runs
//! from wherever it lies; asc gives it `binaryen`.

const VERSION = "0.1.0";

/** The contract's name for an export; null when it is no function of the SDK. */
function contractName(name) {
  const parts = /^(ms|ms_post)__([a-z]+(?:_[a-z]+)*)__([a-z]+)$/.exec(name);
  if (!parts) return null;
  const full = `millstream:udf/${parts[2].replaceAll("_", "-")}@${VERSION}#${parts[3]}`;
  return parts[1] === "ms" ? full : `cabi_post_${full}`;
}

export default class {
  afterCompile(module) {
    const exported = [];
    for (let i = 0; i < module.getNumExports(); i++) {
      exported.push(this.binaryen.getExportInfo(module.getExportByIndex(i)));
    }
    for (const { name, value } of exported) {
      const made = contractName(name);
      if (!made) continue;
      module.removeExport(name);
      module.addFunctionExport(value, made);
    }
  }
}
